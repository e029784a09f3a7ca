"""Representative teacher: which real rows give the gradient that is matched."""

from __future__ import annotations

import numpy as np

from benchmark.core.pool import Pool
from methods.k_centers import kmeans_medoids

SETS = 10
ROWS = 10_000
"""Rows of a class that one k-means looks at: a random part of bigger classes."""


def representative_sets(
    pool: Pool, encoder: str, size: int, rng: np.random.Generator
) -> list[list[np.ndarray]]:
    """Return ten sets, each with the row numbers of `size` representatives of every class.

    K-means with `size` clusters on the class's features, then the members nearest the centroids:
    DiLM, section 3.3. A class with fewer rows gives them all.
    """
    features = pool.embed(encoder)
    sets: list[list[np.ndarray]] = []
    for _ in range(SETS):
        chosen = []
        for label in range(len(pool.classes)):
            rows = np.flatnonzero(pool.labels == label)
            if len(rows) > ROWS:
                rows = np.sort(rng.choice(rows, ROWS, replace=False))
            count = min(size, len(rows))
            medoids = kmeans_medoids(
                np.asarray(features[rows]), count, seed=int(rng.integers(2**32))
            )
            chosen.append(rows[medoids])
        sets.append(chosen)
    return sets


def random_sets(pool: Pool, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the row numbers of `size` random rows of every class."""
    members = [np.flatnonzero(pool.labels == label) for label in range(len(pool.classes))]
    return [rng.choice(rows, min(size, len(rows)), replace=False) for rows in members]
