"""Random rows as long as those of another method: is its gain more than more words?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.effort import words_of
from benchmark.core.errors import BenchmarkError
from benchmark.core.method import METHODS, Budget, Method, register
from benchmark.core.needs import Needs
from benchmark.core.pool import Pool


@register("random-length-matched")
class RandomLengthMatched(Method):
    """Draw training rows with the lengths of the rows that another method makes.

    The other method makes a set of the same pool and budget. Each of its rows is replaced by a
    random training row of the same class that has as many words, or as near to that as any row
    that is still free. What the other method gains over this one is not due to longer rows.

    Parameters
    ----------
    like : the method whose lengths are matched. One that learns once per task does so here too;
        the parts that it shares with its variants are taken from the store.
    """

    like: str = "k-centers"

    @property
    def _other(self) -> Method:
        return METHODS.build(self.like)

    @property
    def encoders(self) -> tuple[str, ...]:
        """Those of the other method."""
        return self._other.encoders

    @property
    def models(self) -> tuple[str, ...]:
        """Those of the other method."""
        return self._other.models

    @property
    def needs(self) -> Needs:  # type: ignore[override]
        """Those of the other method."""
        return self._other.needs

    @property
    def needs_preparation(self) -> bool:
        """Whether the other method learns something once per pool."""
        return self._other.needs_preparation

    def __post_init__(self) -> None:
        if self.like == "random-length-matched":
            raise ValueError("like is the method itself; it must be another one")

    def prepare(self, pool: Pool, rng: np.random.Generator, folder: Path) -> None:
        """Prepare the other method."""
        self._other.prepare(pool, rng, folder)

    def distil(
        self, pool: Pool, budget: Budget, rng: np.random.Generator, state: Path | None = None
    ) -> DistilledSet:
        """Make the other method's set, then draw rows of its lengths."""
        model = self._other.distil(pool, budget, rng, state)
        if model.columns is None:
            raise BenchmarkError(f"{self.like} makes no texts, so there are no lengths to match")
        wanted, there = words_of(model.columns), words_of(pool.texts())
        chosen: list[np.ndarray] = []
        for label, size in enumerate(budget.per_class):
            members = np.flatnonzero(pool.labels == label)
            lengths = wanted[model.hard_labels == label]
            if len(members) < size or len(lengths) < size:
                raise BenchmarkError(
                    f"task {pool.task!r}: class {pool.classes[label]!r} has {len(members)} "
                    f"examples and {len(lengths)} rows of {self.like}, {size} are needed"
                )
            lengths = rng.permutation(lengths)[:size]
            chosen.append(members[match_lengths(there[members], lengths, rng)])
        rows = np.concatenate(chosen)
        return DistilledSet.of_texts(
            pool.texts(rows), pool.labels[rows], pool.classes, rows=pool.indices[rows]
        )


def match_lengths(
    there: np.ndarray, wanted: Sequence[int] | np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return a distinct row for each wanted length: the nearest in length that is free.

    `there` has the length of every row, shape (n,), at least as many as are wanted; rows of the
    same distance are equally likely.
    """
    free = np.ones(len(there), dtype=bool)
    picked = np.empty(len(wanted), dtype=np.int64)
    for place, length in enumerate(wanted):
        distance = np.where(free, np.abs(there - length), np.iinfo(np.int64).max)
        picked[place] = rng.choice(np.flatnonzero(distance == distance.min()))
        free[picked[place]] = False
    return picked
