"""Herding: examples whose running mean follows the mean of their class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.core.method import Selector, register
from benchmark.core.pool import Pool


@register("herding", paper="welling2009herding")
class Herding(Selector):
    """Greedily pick examples whose running mean follows the class mean.

    Features are used as the encoder gives them: they are not normalised here. The result depends
    on the pool alone. Rows are returned in the order in which they were picked, so a smaller
    budget is a prefix of a larger one (the DiLM code returns the same rows in index order).

    References
    ----------
    M. Welling, "Herding dynamical weights to learn", ICML 2009.
    Y. Chen, M. Welling and A. Smola, "Super-samples from kernel herding", UAI 2010.
    """

    encoder: str = "minilm"
    deterministic = True

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        """Return `size` rows, in the order in which they were picked."""
        return herd(pool.embed(self.encoder), size)


def herd(features: np.ndarray, size: int) -> np.ndarray:
    """Return `size` distinct rows; row t+1 minimises ||S + x - (t+1) mu||, ties to the lowest.

    S is the sum of the t rows before it and mu the mean of `features`, shape (n, d). With
    y = x - mu this is ||sum of chosen y + y||, whose square is the constant ||sum||^2 plus
    ||y||^2 + 2 y.sum: one matrix-vector product per pick.
    """
    mean = features.mean(axis=0, dtype=np.float64).astype(features.dtype)
    offsets = features - mean
    # einsum and not BLAS: one thread, and equal rows give equal bits, so that ties are ties.
    spread = np.einsum("ij,ij->i", offsets, offsets)
    drift = np.zeros_like(mean)
    chosen = np.empty(size, dtype=np.int64)
    for step in range(size):
        best = (spread + 2 * np.einsum("ij,j->i", offsets, drift)).argmin()
        chosen[step] = best
        drift += offsets[best]
        spread[best] = np.inf
    return chosen
