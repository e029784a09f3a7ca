"""Centroids of a class in embedding space, and the real rows nearest to them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from benchmark.core.errors import BenchmarkError

MINI_BATCH_ROWS = 100_000
"""Rows beyond which k-means reads mini-batches; what that loses stands in `tests/performance`."""
MINI_BATCH = 4_096
CENTRES_AT_ONCE = 64
ROUNDING = 1e-5
"""What float32 may lose in a product of matrices, as a share of the lengths; a generous bound."""
LEAST_VARIANCE = 1e-4


@dataclass(frozen=True)
class Clustering:
    """How so many points come to stand for the rows of a class.

    `kmeans` is scikit-learn's, k-means++ with `restarts` starts of at most 300 iterations; beyond
    `MINI_BATCH_ROWS` rows it is `MiniBatchKMeans`. `gmm` are the means of a Gaussian mixture with
    diagonal covariances. A mean of unit vectors is shorter than 1; with `renormalise` each centre
    is scaled to the mean length of the rows, which puts it back on the sphere where the encoder
    normalises.
    """

    kind: str = "kmeans"
    restarts: int = 1
    renormalise: bool = True

    def centres(self, features: np.ndarray, size: int, seed: int) -> np.ndarray:
        """Return `size` points, float32 of shape (size, d), for `features` of shape (n, d).

        `seed` has 32 bits. Raises `BenchmarkError` when there are fewer rows than points.
        """
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits

        if len(features) < size:
            raise BenchmarkError(f"{len(features)} examples are fewer than {size} centroids")
        # One thread: sums do not depend on the order in which threads finish.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than points
            centres = self._fitted(features, size, seed).astype(np.float32)
        if self.renormalise:
            length = np.linalg.norm(features, axis=1).mean(dtype=np.float64)
            norms = np.linalg.norm(centres, axis=1, keepdims=True)
            centres *= (length / np.where(norms == 0, 1, norms)).astype(np.float32)
        return centres

    def _fitted(self, features: np.ndarray, size: int, seed: int) -> np.ndarray:
        from sklearn.cluster import KMeans, MiniBatchKMeans
        from sklearn.mixture import GaussianMixture

        if self.kind == "gmm":
            if size == 1 or len(features) == size:  # nothing to estimate; a variance needs two rows
                return KMeans(size, n_init=1, random_state=seed).fit(features).cluster_centers_
            mixture = GaussianMixture(
                size,
                covariance_type="diag",
                n_init=self.restarts,
                reg_covar=LEAST_VARIANCE,
                random_state=seed,
            )
            return mixture.fit(features).means_
        common = {"init": "k-means++", "n_init": self.restarts, "random_state": seed}
        if len(features) > MINI_BATCH_ROWS:
            kmeans = MiniBatchKMeans(size, batch_size=MINI_BATCH, **common)
        else:
            kmeans = KMeans(size, max_iter=300, **common)
        return kmeans.fit(features).cluster_centers_


def nearest_rows(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return for each centre the nearest row (L2) that no centre before it has; ties to the lowest.

    `features` have shape (n, d), `centres` (k, d), k at most n. A product of matrices finds the
    rows that may be nearest; which of them is, their differences tell, as if all had been computed.
    """
    free = np.ones(len(features), dtype=bool)
    chosen = np.empty(len(centres), dtype=np.int64)
    half = np.einsum("nd,nd->n", features, features) / 2
    for start in range(0, len(centres), CENTRES_AT_ONCE):
        block = centres[start : start + CENTRES_AT_ONCE]
        # (|x - c|^2 - |c|^2) / 2, and by how much it may be off
        nearness = half[:, None] - features @ block.T
        slack = ROUNDING * (half.max() + np.einsum("kd,kd->k", block, block) / 2)
        for place, centre in enumerate(block):
            there = nearness[:, place]
            rows = np.flatnonzero(free & (there <= there[free].min() + slack[place]))
            nearest = rows[np.linalg.norm(features[rows] - centre, axis=1).argmin()]
            chosen[start + place] = nearest
            free[nearest] = False
    return chosen
