"""The generated rows of an interval, and diverse mini-batches of them."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE = "synthetic.json"


@dataclass(frozen=True)
class SyntheticRows:
    """Rows of every class, sampled at step `start`, and the cluster of each.

    `texts[c]` are tuples of texts; `clusters[c]` are their clusters, shape (rows,).
    """

    start: int
    texts: list[list[tuple[str, ...]]]
    clusters: list[np.ndarray]

    def batch(self, label: int, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draw one row of each of the `size` clusters of a class at random (DiLM, section 3.3).

        Where all rows are in one cluster (diverse sampling switched off) rows are drawn at random;
        so are those that stand in for empty clusters.
        """
        clusters = self.clusters[label]
        chosen = []
        if clusters.max() > 0:
            for cluster in range(size):
                members = np.flatnonzero(clusters == cluster)
                if len(members):
                    chosen.append(int(rng.choice(members)))
        rest = np.setdiff1d(np.arange(len(clusters)), chosen)
        chosen += rng.choice(rest, size - len(chosen), replace=False).tolist()
        return np.array(chosen)

    def save(self, folder: Path) -> None:
        """Write the rows, so that a resumed training goes on with the same ones."""
        body = {
            "start": self.start,
            "texts": self.texts,
            "clusters": [clusters.tolist() for clusters in self.clusters],
        }
        temporary = folder / f".{FILE}.new"
        temporary.write_text(json.dumps(body))
        os.replace(temporary, folder / FILE)

    @classmethod
    def load(cls, folder: Path, start: int) -> SyntheticRows | None:
        """Read the rows that were sampled at `start`, or None."""
        path = folder / FILE
        if not path.exists():
            return None
        body = json.loads(path.read_text())
        if body["start"] != start:
            return None
        texts = [[tuple(row) for row in rows] for rows in body["texts"]]
        return cls(start, texts, [np.array(clusters) for clusters in body["clusters"]])


def cluster(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Assign rows to `count` k-means clusters, shape (n,)."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    kmeans = KMeans(count, init="k-means++", n_init=1, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        return kmeans.fit_predict(features)
