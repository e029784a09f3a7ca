"""Word vectors, in the forms in which they are published."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmark.core.assets.files import model_files
from benchmark.core.errors import InputError


def load_word_vectors(folder: Path) -> tuple[list[str], np.ndarray]:
    """Read words and their vectors, float32 of shape (words, dimension).

    Three forms are known: `.npy` vectors beside a `.parquet` (first column) or `.txt` (a line each)
    of words, which are memory-mapped; a sentence-transformers folder of `WordEmbeddings`; GloVe's
    own `.txt` or `.txt.gz`, with or without a first line of sizes as word2vec writes it.

    Raises `InputError` when the files are none of these, or words and vectors differ in number.
    """
    files = model_files(folder)
    try:
        words, vectors = _read_word_vectors(files)
    except InputError:
        raise
    except Exception as error:  # damaged files raise whatever their reader does
        raise InputError(f"{folder}: not readable as word vectors: {error}") from error
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise InputError(f"{folder}: {len(words)} words, vectors of shape {vectors.shape}")
    return words, vectors


def _read_word_vectors(files: list[Path]) -> tuple[list[str], np.ndarray]:
    by_kind = {path.name.removesuffix(".gz").rpartition(".")[2]: path for path in files}
    if len(by_kind) < len(files):
        raise InputError(f"{files[0].parent}: more than one file of a kind: which one is meant?")
    if "json" in by_kind:
        words = json.loads(by_kind["json"].read_text(encoding="utf-8"))["vocab"]
        return words, _embedding_layer(next(path for path in files if path.suffix != ".json"))
    if "npy" in by_kind:
        vectors = np.load(by_kind["npy"], mmap_mode="r", allow_pickle=False)
        if "parquet" in by_kind:
            import pandas as pd

            words = pd.read_parquet(by_kind["parquet"]).iloc[:, 0].tolist()
        else:
            words = by_kind["txt"].read_text(encoding="utf-8").removesuffix("\n").split("\n")
        return words, vectors if vectors.dtype == np.float32 else vectors.astype(np.float32)
    if "txt" in by_kind:
        return _read_glove(by_kind["txt"])
    raise InputError(f"no word vectors among {[path.name for path in files]}")


def _embedding_layer(path: Path) -> np.ndarray:
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return load_file(path)["emb_layer.weight"].astype("float32", copy=False)
    import torch

    layers = torch.load(path, map_location="cpu", weights_only=True)
    return layers["emb_layer.weight"].float().numpy()


def _read_glove(path: Path) -> tuple[list[str], np.ndarray]:
    """Parse lines of a word and its numbers; a word may have spaces in it, as some of 840B do."""
    opened = gzip.open if path.suffix == ".gz" else open
    words: list[str] = []
    with opened(path, "rt", encoding="utf-8", newline="\n") as handle:
        width = next(handle).count(" ")
        if width == 1:  # word2vec's line of sizes
            width = next(handle).count(" ")
        handle.seek(0)

        def numbers() -> Iterator[str]:
            for line in handle:
                spaces = line.count(" ")
                if spaces >= width:
                    parts = line.split(" ", spaces - width + 1)
                    words.append(" ".join(parts[:-1]))
                    yield parts[-1]
                elif words:
                    raise InputError(f"{path}: {words[-1]!r} is followed by a line that is cut off")

        vectors = np.loadtxt(numbers(), dtype=np.float32, ndmin=2, comments=None)
    return words, vectors
