"""Do the labels of a set fit its texts? The share that a teacher of the whole pool agrees with.

The teacher is the learner `tfidf-svm` trained on training rows. A row of a set may be a training
row, and a teacher that has seen it would repeat its label: so there are two teachers, each of one
half of the pool, and the half that a row belongs to, or would, is judged by the other one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluators.audits import normalise

MOST_ROWS = 50_000
"""Training rows that the teachers see together at most; more would cost minutes, and add little."""


class LabelTeachers:
    """Two TF-IDF classifiers, each trained on the half of a pool that it never judges.

    The half is read off a hash of the row's normalised text, so equal texts are in one half on
    every machine. `columns` are the pool's text columns, `labels` its class indices, shape (n,).
    """

    def __init__(self, columns: Mapping[str, Sequence[str]], labels: np.ndarray) -> None:
        texts = _joined(columns)
        hashes = _hashes(texts)
        kept = np.sort(np.argsort(hashes, kind="stable")[:MOST_ROWS])
        self._teachers = [
            _fit([texts[row] for row in rows], labels[rows])
            for half in (0, 1)
            for rows in [kept[hashes[kept] % 2 != half]]
        ]

    def agreement(self, columns: Mapping[str, Sequence[str]], labels: np.ndarray) -> float:
        """Return the share of rows whose label, shape (n,), is the one that a teacher gives.

        NaN where half a pool has no words or a single class, as a toy's may.
        """
        if any(teacher is None for teacher in self._teachers):
            return float("nan")
        texts = _joined(columns)
        halves = _hashes(texts) % 2
        agreed = np.zeros(len(texts), dtype=bool)
        for half, teacher in enumerate(self._teachers):
            rows = np.flatnonzero(halves == half)
            if len(rows):
                agreed[rows] = teacher.predict([texts[row] for row in rows]) == labels[rows]
        return float(agreed.mean())


def _fit(texts: Sequence[str], labels: np.ndarray) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    teacher = make_pipeline(TfidfVectorizer(dtype=np.float32), LinearSVC(random_state=0))
    try:
        return teacher.fit(texts, labels)
    except ValueError:  # no words, or one class only
        return None


def _joined(columns: Mapping[str, Sequence[str]]) -> list[str]:
    return [" ".join(parts) for parts in zip(*columns.values(), strict=True)]


def _hashes(texts: Sequence[str]) -> np.ndarray:
    """Hash normalised texts to 63 bits, the same in every process."""
    digests = (hashlib.sha256(normalise(text).encode("utf-8", "surrogatepass")) for text in texts)
    return np.array([int.from_bytes(one.digest()[:8], "big") >> 1 for one in digests], np.int64)
