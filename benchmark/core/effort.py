"""How much a run has to do, so that one run's measured seconds can tell what another will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LOADING = 20_000.0
"""Words whose preparation costs what reading a model and importing its library does, roughly."""


@dataclass(frozen=True)
class Effort:
    """Work in words of text; only the ratio of two runs of one learner counts.

    Attributes
    ----------
    train, predict : of one run.
    prepare : what is done once for a task, such as tokenising its test texts.
    """

    train: float
    predict: float
    prepare: float


def words_of(columns: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Words of each row, columns added up; runs of blanks count as words, which is near enough."""
    counts = [[text.count(" ") + 1 for text in texts] for texts in columns.values()]
    return np.array(counts, dtype=np.int64).sum(axis=0)


def typical_rows(words: np.ndarray, n: int) -> np.ndarray:
    """Words of `n` rows that stand for a random choice: evenly spaced ranks of all rows."""
    ranks = (np.arange(n) + 0.5) / n * len(words)
    return np.sort(words)[ranks.astype(np.int64)]
