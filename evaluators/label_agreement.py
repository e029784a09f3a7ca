"""Do the labels of a set fit its texts? The share that a teacher of the whole pool agrees with.

The teacher is multinomial naive Bayes on words. A row of a set may be a training row, and a teacher
that has seen it would repeat its label: so there are two teachers, each of one half of the pool,
and the half that a row belongs to, or would, is judged by the other one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluators.audits import normalise

MOST_ROWS = 50_000
"""Training rows that the teachers see together at most; more would cost minutes, and add little."""

Words = list[list[str]]


class LabelTeachers:
    """Two classifiers, each trained on the half of a pool that it never judges.

    The half is read off a hash of the row's normalised text, so equal texts are in one half on
    every machine. `columns` are the pool's text columns, `labels` its class indices, shape (n,).
    """

    def __init__(self, columns: Mapping[str, Sequence[str]], labels: np.ndarray) -> None:
        texts = _joined(columns)
        hashes = _hashes(texts)
        kept = np.sort(np.argsort(hashes, kind="stable")[:MOST_ROWS])
        self._teachers = [
            NaiveBayes.of([texts[row].split() for row in rows], labels[rows])
            for half in (0, 1)
            for rows in [kept[hashes[kept] % 2 != half]]
        ]

    def agreement(self, columns: Mapping[str, Sequence[str]], labels: np.ndarray) -> float:
        """Return the share of rows whose label, shape (n,), is the one that a teacher gives.

        NaN where half a pool has a single class or none, as a toy's may.
        """
        if any(teacher is None for teacher in self._teachers):
            return float("nan")
        texts = _joined(columns)
        halves = _hashes(texts) % 2
        agreed = np.zeros(len(texts), dtype=bool)
        for half, teacher in enumerate(self._teachers):
            rows = np.flatnonzero(halves == half)
            agreed[rows] = teacher.predict([texts[row].split() for row in rows]) == labels[rows]
        return float(agreed.mean())


@dataclass(frozen=True)
class NaiveBayes:
    """Multinomial naive Bayes with add-one smoothing, as scikit-learn's with its defaults.

    It is here because a worker makes it beside each task's first set: importing scikit-learn would
    take longer than all that is computed, and stands in no relation to the set's time limit.
    `likelihoods` has log P(word | class), shape (C, words); `priors` log P(class), shape (C,).
    """

    vocabulary: Mapping[str, int]
    likelihoods: np.ndarray
    priors: np.ndarray

    @classmethod
    def of(cls, texts: Words, labels: np.ndarray) -> NaiveBayes | None:
        """Count words by class; None where there are fewer than two classes."""
        if len(np.unique(labels)) < 2:
            return None
        vocabulary: dict[str, int] = {}
        codes = np.fromiter(
            (vocabulary.setdefault(word, len(vocabulary)) for words in texts for word in words),
            dtype=np.int64,
        )
        owner = np.repeat(labels, [len(words) for words in texts])
        n_classes, size = int(labels.max()) + 1, len(vocabulary)
        counts = np.bincount(owner * size + codes, minlength=n_classes * size)
        counts = counts.reshape(n_classes, size) + 1.0
        rows = np.bincount(labels, minlength=n_classes)
        with np.errstate(divide="ignore"):
            priors = np.log(rows / rows.sum())  # a class without rows is never given
        return cls(vocabulary, np.log(counts / counts.sum(axis=1, keepdims=True)), priors)

    def predict(self, texts: Words) -> np.ndarray:
        """Return the class of each text, shape (n,); words that were never seen say nothing."""
        found = np.zeros(len(texts), dtype=np.int64)
        for row, words in enumerate(texts):
            known = [self.vocabulary[word] for word in words if word in self.vocabulary]
            found[row] = (self.priors + self.likelihoods[:, known].sum(axis=1)).argmax()
        return found


def _joined(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Join and normalise the columns of each row."""
    return [normalise(" ".join(parts)) for parts in zip(*columns.values(), strict=True)]


def _hashes(texts: Sequence[str]) -> np.ndarray:
    """Hash texts to 63 bits, the same in every process."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts)
    return np.array([int.from_bytes(digest[:8], "big") >> 1 for digest in digests], np.int64)
