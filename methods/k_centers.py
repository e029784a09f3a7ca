"""K-centers: k-means within each class, then the member nearest each centroid."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from benchmark.core.method import Selector, register
from benchmark.core.pool import Pool


@register("k-centers", paper="maekawa2024dilm")
class KCenters(Selector):
    """Pick the real example nearest to the centroid of each k-means cluster of its class.

    This is what the text distillation papers call K-centers; farthest-first traversal is
    `k-center-greedy`. As in the DiLM code: scikit-learn's k-means with k-means++, one start and
    at most 300 iterations. Different from it: k-means runs on one thread, so that every machine
    load gives the same bits; the centroid is the one that k-means ends with, not a mean taken
    again over the members; and a class with too few distinct texts is filled up, not an error.

    References
    ----------
    J. MacQueen, "Some methods for classification and analysis of multivariate observations",
    Berkeley Symposium 1967.
    S. Lloyd, "Least squares quantization in PCM", IEEE Trans. Information Theory 28, 1982.
    A. Maekawa et al., "DiLM: distilling dataset into language model for text-level dataset
    distillation", Findings of NAACL 2024.
    """

    encoder: str = "minilm"

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        """Return `size` rows, one per cluster."""
        return kmeans_medoids(pool.embed(self.encoder), size, seed=int(rng.integers(2**32)))


def kmeans_medoids(features: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Return `size` distinct rows of `features`, shape (n, d): one for each k-means cluster.

    It is the cluster's member nearest (L2) to the centroid, ties to the lowest row. A cluster is
    empty where there are fewer distinct rows than clusters; it then takes the nearest row that is
    still free. `seed` is a 32-bit number; n must be at least `size`.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    kmeans = KMeans(size, init="k-means++", n_init=1, max_iter=300, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        kmeans.fit(features)
    chosen = np.full(size, -1, dtype=np.int64)
    free = np.ones(len(features), dtype=bool)
    filled = np.isin(np.arange(size), kmeans.labels_)
    for cluster in [*np.flatnonzero(filled), *np.flatnonzero(~filled)]:
        rows = np.flatnonzero(kmeans.labels_ == cluster if filled[cluster] else free)
        distances = np.linalg.norm(features[rows] - kmeans.cluster_centers_[cluster], axis=1)
        chosen[cluster] = rows[distances.argmin()]
        free[chosen[cluster]] = False
    return chosen
