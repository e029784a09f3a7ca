"""Words that stand in for one another: neighbours among word vectors."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

FREQUENT = 50_000
NEIGHBOURS = 10
LEAST_COSINE = 0.6
BLOCK = 256


def neighbours(folder: Path, words: Iterable[str]) -> dict[str, list[str]]:
    """Return for each word those nearest to it, nearest first; a word without any is left out.

    `folder` holds word vectors of which the most frequent words come first, as GloVe's do. Only
    these `FREQUENT` words count, less those with digits or marks and scikit-learn's stop words. A
    word has up to `NEIGHBOURS` others whose cosine with it is `LEAST_COSINE` or more.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    names, number, vectors = _table(folder)
    allowed = np.array([name.isalpha() and name not in ENGLISH_STOP_WORDS for name in names])
    asked = sorted(word for word in set(words) if word in number and allowed[number[word]])
    found: dict[str, list[str]] = {}
    for start in range(0, len(asked), BLOCK):
        block = asked[start : start + BLOCK]
        rows = [number[word] for word in block]
        # einsum and not BLAS: bits, and so the order of neighbours, owe nothing to threads.
        cosines = np.where(allowed, np.einsum("id,jd->ij", vectors[rows], vectors), -1.0)
        cosines[np.arange(len(rows)), rows] = -1.0
        count = min(NEIGHBOURS, len(names))
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        for word, order, row in zip(block, nearest, cosines, strict=True):
            near = [names[i] for i in order if row[i] >= LEAST_COSINE]
            if near:
                found[word] = near
    return found


@lru_cache(maxsize=1)
def _table(folder: Path) -> tuple[list[str], dict[str, int], np.ndarray]:
    """The frequent words, their numbers, and their vectors at unit length."""
    from benchmark.core.assets import load_word_vectors

    words, vectors = load_word_vectors(folder)
    names = list(words[:FREQUENT])
    table = np.array(vectors[:FREQUENT], dtype=np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True).clip(min=1e-12)
    number = {name: i for i, name in reversed(list(enumerate(names)))}
    return names, number, table
