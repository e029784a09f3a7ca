"""What an assets directory, a package or the hub gives is checked, and never silently replaced."""

import json
import os
import socket
import sys
import time

import pandas as pd
import pytest

from benchmark.core import assets as module
from benchmark.core.assets import Assets, ModelSpec, model_files, model_fingerprint, packaged_path
from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.keys import sha256_file

TABLE = {"text": ["a", "b"], "label": [0, 1]}
HUB = "tests/tiny-bert"
TINY = ModelSpec("tiny", HUB)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any look-up of a host fails the test; changes to the environment are undone."""
    asked = []

    def refuse(*args, **kwargs):
        asked.append(args[:2])
        raise socket.gaierror("no network in a test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, os.environ.get(name, "0"))
    for name in ("huggingface_hub.constants", "datasets.config"):
        if name in sys.modules:
            monkeypatch.setattr(sys.modules[name], "HF_HUB_OFFLINE", False)
    yield
    assert asked == []


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed distribution `toy-data` with two data files."""
    site = tmp_path / "site"
    info = site / "toy_data-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-data\nVersion: 1.5\n")
    (site / "toy_data").mkdir()
    (site / "toy_data" / "rows.csv").write_text("text,label\nNA,0\nb,1\n")
    pd.DataFrame(TABLE).to_parquet(site / "toy_data" / "rows.parquet")
    monkeypatch.syspath_prepend(site)
    return site / "toy_data"


def test_a_table_from_the_assets_directory(write_assets):
    root = write_assets({"me/data/default/train": TABLE})
    assert Assets(root).table("me/data", "default", "train", None).to_dict("list") == TABLE


def test_a_file_that_differs_from_its_manifest(write_assets):
    root = write_assets({"me/data/default/train": TABLE, "me/data/default/test": TABLE})
    path = root / "datasets/me/data/default/train.parquet"
    pd.DataFrame({**TABLE, "label": [1, 1]}).to_parquet(path, index=False)
    with pytest.raises(InputError, match=r"train.parquet: its sha256 differs from the one in .*"):
        Assets(root).table("me/data", "default", "train", None)
    assert len(Assets(root).table("me/data", "default", "test", None)) == 2


def test_a_file_that_nobody_vouched_for(write_assets):
    root = write_assets({"me/data/default/train": TABLE})
    folder = root / "datasets/me/data/default"
    (folder / "test.parquet").write_bytes((folder / "train.parquet").read_bytes())
    with pytest.raises(InputError, match=r"no sha256 for 'me/data/default/test.parquet'; add it"):
        Assets(root).table("me/data", "default", "test", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no manifest.json; `python -m benchmark prepare` writes one"),
        ("{", "manifest.json: not valid JSON"),
        ("[]", "expected an object of file names"),
        ('{"me/data/default/train.parquet": "abc"}', "no sha256 for"),
    ],
)
def test_a_manifest_that_vouches_for_nothing(write_assets, content, message):
    root = write_assets({"me/data/default/train": TABLE})
    manifest = root / "datasets" / "manifest.json"
    manifest.unlink()
    if content is not None:
        manifest.write_text(content)
    with pytest.raises(InputError, match=message):
        Assets(root).table("me/data", "default", "train", None)


def test_a_listed_file_that_is_no_parquet(write_assets):
    root = write_assets({"me/data/default/train": TABLE})
    path = root / "datasets/me/data/default/train.parquet"
    path.write_bytes(b"PAR1")
    entry = {"me/data/default/train.parquet": {"sha256": sha256_file(path)}}
    (root / "datasets/manifest.json").write_text(json.dumps(entry))
    with pytest.raises(InputError, match="not a readable Parquet file"):
        Assets(root).table("me/data", "default", "train", None)


def test_an_assets_directory_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no such directory"):
        Assets(tmp_path / "nowhere")


def test_a_table_from_a_package(package):
    assets = Assets()
    csv = assets.table("package:toy-data/toy_data/rows.csv", "default", "train", None)
    assert csv["text"].tolist() == ["NA", "b"]  # a text, not a missing value
    reference = "package:toy-data/toy_data/rows.parquet"
    assert assets.table(reference, "default", "train", None).to_dict("list") == TABLE
    good = sha256_file(package / "rows.parquet")
    assert len(assets.table(reference, "default", "train", None, good)) == 2
    with pytest.raises(InputError, match=r"sha256 differs .* version 1.5 of toy-data is installed"):
        assets.table(reference, "default", "train", None, "0" * 64)
    (package / "rows.csv").write_bytes(b'text,label\n"a')
    with pytest.raises(InputError, match="not a readable CSV file"):
        assets.table("package:toy-data/toy_data/rows.csv", "default", "train", None)


@pytest.mark.parametrize("name", ["no-such-package/x.csv", "toy-data/absent.csv", "toy-data", ""])
def test_a_missing_package_comes_with_an_instruction(package, name):
    with pytest.raises(UnavailableError, match=r"not installed.*pip install -c constraints.txt"):
        Assets().table(f"package:{name}", "default", "train", None)
    assert packaged_path("no-such-package/x.csv") is None


@pytest.mark.parametrize("imported", [True, False])
def test_offline_says_all_places_at_once_and_asks_no_network(write_assets, imported):
    if imported:  # the hub's libraries read the environment only once
        import datasets  # noqa: F401
    root = write_assets({"me/data/default/train": TABLE})
    assets = Assets(root, offline=True)
    started = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        assets.table("nobody/absent", "default", "test", "main")
    assert str(caught.value) == (
        "dataset nobody/absent (default, test): "
        "no datasets/nobody/absent/default/test.parquet in the assets directory; "
        "not in the hub's local cache, and --offline is set"
    )
    spec = ModelSpec("x", "nobody/absent", package="no-such-package/m", gated=True)
    with pytest.raises(UnavailableError) as caught:
        assets.model(spec)
    assert str(caught.value) == (
        "model nobody/absent (gated: accept its licence on the hub first): "
        "no models/nobody/absent in the assets directory; "
        "package no-such-package is not installed; "
        "not in the hub's local cache, and --offline is set"
    )
    assert time.monotonic() - started < 20  # retries alone would take longer
    assert caught.value.exit_code == 3


def test_a_model_from_the_assets_directory(write_assets, tiny_bert):
    root = write_assets({}, tiny_bert)
    folder = Assets(root).model(TINY)
    assert folder == root / "models" / HUB
    assert model_fingerprint(folder) == model_fingerprint(tiny_bert)
    assert module.load_encoder(folder).config.hidden_size == 16
    assert module.load_tokenizer(folder)("good film")["input_ids"][0] == 2
    assert module.load_classifier(folder, 3).num_labels == 3
    weights = sha256_file(tiny_bert / "model.safetensors")
    assert Assets(root).model(ModelSpec("tiny", HUB, sha256=weights)) == folder


def test_weights_that_are_not_the_pinned_ones(write_assets, tiny_bert):
    root = write_assets({}, tiny_bert)
    with pytest.raises(InputError, match=f"model 'tiny' in .*no weights file .*{'0' * 64}"):
        Assets(root).model(ModelSpec("tiny", HUB, sha256="0" * 64))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_file_of_a_model(write_assets, tiny_bert, name):
    root = write_assets({}, tiny_bert)
    path = root / "models" / HUB / name
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=f"{name}: its sha256 differs"):
        Assets(root).model(TINY)


def test_an_unlisted_file_of_a_model(write_assets, tiny_bert):
    root = write_assets({}, tiny_bert)
    (root / "models" / HUB / "README.md").write_text("harmless")
    Assets(root).model(TINY)
    (root / "models" / HUB / "vocab.txt").write_text("it would change what is computed")
    with pytest.raises(InputError, match=r"no sha256 for 'tests/tiny-bert/vocab.txt'"):
        Assets(root).model(TINY)


def test_what_counts_of_a_model_folder(tmp_path):
    names = ["config.json", "model.safetensors", "pytorch_model.bin", "README.md", "vocab.txt"]
    for name in names:
        (tmp_path / name).write_text(name)
    counted = [path.name for path in model_files(tmp_path)]
    assert counted == ["config.json", "model.safetensors", "vocab.txt"]
    (tmp_path / "model.safetensors").unlink()
    assert "pytorch_model.bin" in [path.name for path in model_files(tmp_path)]


def test_a_model_from_a_package(package, tiny_bert):
    folder = package / "model"
    folder.mkdir()
    for path in tiny_bert.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    spec = ModelSpec("tiny", "nobody/absent", package="toy-data/toy_data/model")
    assert Assets(offline=True).model(spec).samefile(folder)
    wrong = ModelSpec("tiny", "nobody/absent", package=spec.package, sha256="0" * 64)
    with pytest.raises(InputError, match="no weights file has the pinned sha256"):
        Assets().model(wrong)
