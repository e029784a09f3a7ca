"""K-center greedy: farthest-first traversal. Not the `k-centers` of the text papers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.core.method import Selector, register
from benchmark.core.pool import Pool


@register("k-center-greedy", paper="sener2018coreset")
class KCenterGreedy(Selector):
    """Cover each class: start at a random example, then add the one farthest from all chosen.

    The largest distance from any example to its nearest chosen one is at most twice the best
    possible (Gonzalez, 1985). It seeks outliers, where `k-centers` seeks typical examples.

    References
    ----------
    T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical
    Computer Science 38, 1985.
    O. Sener and S. Savarese, "Active learning for convolutional neural networks: a core-set
    approach", ICLR 2018.
    """

    encoder: str = "minilm"

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        """Return `size` rows, in the order in which they were picked."""
        return farthest_first(pool.embed(self.encoder), size, first=int(rng.integers(len(pool))))


def farthest_first(features: np.ndarray, size: int, first: int) -> np.ndarray:
    """Return `size` distinct rows of `features`, shape (n, d), by farthest-first traversal.

    Distances are Euclidean; ties go to the lowest row. One matrix-vector product per pick.
    """
    offsets = features - features.mean(axis=0, dtype=np.float64).astype(features.dtype)
    # einsum and not BLAS: one thread, and equal rows give equal bits, so that ties are ties.
    norms = np.einsum("ij,ij->i", offsets, offsets)
    nearest = np.full(len(features), np.inf, dtype=norms.dtype)
    chosen = np.empty(size, dtype=np.int64)
    chosen[0] = first
    for step in range(1, size):
        last = chosen[step - 1]
        squared = norms + norms[last] - 2 * np.einsum("ij,j->i", offsets, offsets[last])
        np.minimum(nearest, squared, out=nearest)
        nearest[last] = -np.inf  # never again, even where all that is left are duplicates
        chosen[step] = nearest.argmax()
    return chosen
