"""Audits of distilled texts: copies of training rows, 8-grams shared with a split, variety."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

Columns = Mapping[str, Sequence[str]]
NGRAM = 8
TEXTS_PER_PART = 1000
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|[^\w\s]")


def normalise(text: str) -> str:
    """Lower-case a text and keep its words only, one space apart (as it is if it has none)."""
    return " ".join(_WORD.findall(text.lower())) or " ".join(text.split())


def tokens(columns: Columns) -> int:
    """Count words and marks: a mark is a token of its own, as BERT's tokenizer first splits."""
    return sum(len(_TOKEN.findall(text)) for texts in columns.values() for text in texts)


def distinct(columns: Columns, n: int) -> float:
    """Return the share of n-grams that are different ones, counted within texts; 1 without any.

    Texts of a set that say the same in the same words have a low value. It falls with the length
    of the set, so only sets of one budget compare.

    Source: Li et al. 2016, distinct-n.
    """
    grams = [
        tuple(words[start : start + n])
        for texts in columns.values()
        for text in texts
        for words in [normalise(text).split()]
        for start in range(len(words) - n + 1)
    ]
    return len(set(grams)) / len(grams) if grams else 1.0


class TextIndex:
    """What is needed to tell whether a row is copied from, or overlaps with, a split.

    Copies are whole rows, all columns equal after `normalise`. Overlap is one common run of eight
    words in any column. N-grams are kept as sorted 64-bit hashes, 8 bytes each, so that a split of
    six million words fits in 50 MB.
    """

    def __init__(self, columns: Columns) -> None:
        rows = list(zip(*columns.values(), strict=True))
        normalised = [[normalise(text) for text in row] for row in rows]
        self._rows = {hash(tuple(row)) for row in normalised}
        self._grams = np.unique(_grams([text for row in normalised for text in row])[0])

    def copies(self, columns: Columns) -> float:
        """Share of rows that stand in the split."""
        rows = list(zip(*columns.values(), strict=True))
        found = [hash(tuple(normalise(text) for text in row)) in self._rows for row in rows]
        return float(np.mean(found))

    def overlap(self, columns: Columns) -> float:
        """Share of rows that have an 8-gram in common with the split."""
        texts = [normalise(text) for column in columns.values() for text in column]
        grams, owner = _grams(texts)
        n_rows = len(texts) // len(columns)
        shared = np.zeros(n_rows, dtype=bool)
        if len(grams) and len(self._grams):
            at = np.searchsorted(self._grams, grams).clip(max=len(self._grams) - 1)
            shared[owner[self._grams[at] == grams] % n_rows] = True
        return float(shared.mean())


def _grams(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Hash every run of eight words; returns (hashes, index of the text each one is from).

    A thousand texts at a time: six million words as Python objects would take most of a GB.
    """
    parts = [
        _grams_of_part(texts[start : start + TEXTS_PER_PART], start)
        for start in range(0, len(texts), TEXTS_PER_PART)
    ]
    hashes, owners = zip(*parts, strict=True) if parts else ([], [])
    return (
        np.concatenate([np.empty(0, np.uint64), *hashes]),
        np.concatenate([np.empty(0, np.int64), *owners]),
    )


def _grams_of_part(texts: Sequence[str], first: int) -> tuple[np.ndarray, np.ndarray]:
    words = [text.split() for text in texts]
    lengths = np.array([len(row) for row in words], dtype=np.int64)
    if lengths.sum() < NGRAM:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    # Python's string hash differs between processes; an index lives in one process only.
    codes = np.fromiter(
        (hash(word) for row in words for word in row), dtype=np.int64, count=int(lengths.sum())
    ).view(np.uint64)
    owner = np.repeat(np.arange(first, first + len(texts)), lengths)
    n = len(codes) - NGRAM + 1
    mixed = np.zeros(n, dtype=np.uint64)
    for offset in range(NGRAM):
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + codes[offset : offset + n]
        mixed ^= mixed >> np.uint64(29)
    inside = owner[:n] == owner[NGRAM - 1 :]
    return mixed[inside], owner[:n][inside]
