"""Submodular functions of rows by their cosine similarity, and their greedy maximisation."""

from __future__ import annotations

import heapq
from typing import Protocol

import numpy as np

BLOCK = 2**20
"""Similarities that are held at once: 4 MB."""
LEAST, MOST = 8, 512
"""Rows whose gains are computed together, at first and at most."""


class Objective(Protocol):
    """A set function whose gains only fall as rows are picked."""

    def first_gains(self) -> np.ndarray:
        """Exact gain of each row when nothing is picked, shape (n,)."""

    def gains(self, rows: np.ndarray) -> np.ndarray:
        """What each of `rows` would add to the rows that are picked."""

    def pick(self, row: int) -> None:
        """Take a row."""


def lazy_greedy(objective: Objective, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `size` rows, each the one that adds most, and what each added.

    A row's last known gain bounds what it adds now, so that only rows whose bound exceeds the best
    gain found need be computed again (Minoux, 1978). They are computed in batches, best bounds
    first, each twice as large as the one before. Ties go to the lowest row.
    """
    heap = [(-gain, row) for row, gain in enumerate(objective.first_gains().tolist())]
    heapq.heapify(heap)
    chosen, added = np.empty(size, dtype=np.int64), np.empty(size)
    for step in range(size):
        fresh: list[tuple[float, int]] = []
        best, count = (np.inf, -1), LEAST
        while heap and heap[0] < best and step:
            batch = [heapq.heappop(heap)[1] for _ in range(min(count, len(heap)))]
            gains = objective.gains(np.array(batch)).tolist()
            fresh += [(-gain, row) for gain, row in zip(gains, batch, strict=True)]
            best, count = min(fresh), min(2 * count, MOST)
        if not step:  # the first gains are exact
            best = heapq.heappop(heap)
        for entry in fresh:
            if entry != best:
                heapq.heappush(heap, entry)
        chosen[step], added[step] = best[1], -best[0]
        objective.pick(best[1])
    return chosen, added


class FacilityLocation:
    """f(S) = sum over rows i of max over j in S of s_ij, with s = (1 + cos) / 2.

    A gain is the sum over i of max(0, s_ij - what i has). Blocks of at most `BLOCK` similarities
    are held. `features` have shape (n, d).
    """

    def __init__(self, features: np.ndarray) -> None:
        # With r what a row has, max(0, (1 + cos) / 2 - r) is max(0, cos + (1 - 2 r)) / 2: the sum
        # in brackets is a product of matrices if 1 - 2 r is a further column.
        rest = np.ones((len(features), 1), dtype=np.float32)
        self.x = np.hstack([unit_rows(features), rest])

    def first_gains(self) -> np.ndarray:
        return column_sums(self.x[:, :-1])

    def gains(self, rows: np.ndarray) -> np.ndarray:
        candidates = self.x[rows].T.copy()
        candidates[-1] = 1
        total = np.zeros(len(rows))
        height = max(1, BLOCK // len(rows))
        for start in range(0, len(self.x), height):
            above = self.x[start : start + height] @ candidates
            np.maximum(above, 0, out=above)
            total += above.sum(axis=0, dtype=np.float64)
        return total / 2

    def pick(self, row: int) -> None:
        lacking = 1 - 2 * similarity_to(self.x[:, :-1], row)
        np.minimum(self.x[:, -1], lacking, out=self.x[:, -1])


class GraphCut:
    """f(S) = weight x sum of s_ij over all i and j in S, less the sum of s_ij over i, j in S.

    All gains are renewed with each pick, one product of a matrix and a vector, which is no more
    than a single gain of facility location costs; reading one is then free.
    """

    def __init__(self, features: np.ndarray, weight: float = 1.0) -> None:
        self.x = unit_rows(features)
        own = 0.5 + 0.5 * np.einsum("ij,ij->i", self.x, self.x, dtype=np.float64)
        self.current = weight * column_sums(self.x) - own

    def first_gains(self) -> np.ndarray:
        return self.current

    def gains(self, rows: np.ndarray) -> np.ndarray:
        return self.current[rows]

    def pick(self, row: int) -> None:
        self.current -= 2.0 * similarity_to(self.x, row)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; a row of zeros stays, so that its cosine with any row is 0."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)


def similarity_to(x: np.ndarray, row: int) -> np.ndarray:
    """Similarity of unit rows (n, d) to one of them, shape (n,)."""
    return 0.5 + 0.5 * np.einsum("ij,j->i", x, x[row])


def column_sums(x: np.ndarray) -> np.ndarray:
    """Sum over i of s_ij for each j: from the sum of all rows, without their similarities."""
    return 0.5 * len(x) + 0.5 * np.einsum("ij,j->i", x, x.sum(axis=0, dtype=np.float64))
