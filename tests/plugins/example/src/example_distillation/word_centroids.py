"""The learner `word-centroids`: the class whose texts have most words in common with a text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmark.core.learner import Learner, Outcome, Run, TestTexts, register_learner


@register_learner("word-centroids")
class WordCentroids(Learner):
    """Score a class by the share of a text's words that the set's rows of the class have.

    `smoothing` is added to the number of rows of a class, so that a class of one row does not win
    by its certainty. There is nothing random: one training per set stands for all seeds.
    """

    deterministic = True

    smoothing: float = 1.0

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        """Train on each set and yield scores of shape (test rows, classes), in order."""
        kept = (self.name, "words")  # what is kept for a task's next cells; others keep theirs too
        if kept not in test.scratch:
            test.scratch[kept] = _words(test.columns)
        for run in runs:
            start = time.perf_counter()
            n_classes = len(test.classes)
            labels = run.distilled.hard_labels
            rows = np.bincount(labels, minlength=n_classes) + self.smoothing
            table: dict[str, np.ndarray] = {}
            for words, label in zip(_words(run.distilled.columns or {}), labels, strict=True):
                for word in words:
                    table.setdefault(word, np.zeros(n_classes))[label] += 1 / rows[label]
            trained = time.perf_counter()
            scores = np.zeros((len(test), n_classes))
            for row, words in enumerate(test.scratch[kept]):
                for word in words & table.keys():
                    scores[row] += table[word] / len(words)
            yield Outcome(scores, trained - start, time.perf_counter() - trained)


def _words(columns: Mapping[str, Sequence[str]]) -> list[set[str]]:
    """The distinct words of each row."""
    rows = zip(*columns.values(), strict=True)
    return [set(" ".join(texts).lower().split()) for texts in rows]
