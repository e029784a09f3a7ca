"""Lazy greedy in blocks against the plain way, and k-means in mini-batches against the whole.

The plain way is what libraries do: the matrix of all similarities, and at every pick the gains of
all rows from it. Rows are drawn about a few hundred directions, as sentence embeddings lie.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmark.core.seeding import numpy_generator
from methods import centroids
from methods.centroids import Clustering, nearest_rows
from methods.submodular_functions import FacilityLocation, lazy_greedy, unit_rows

pytestmark = pytest.mark.performance

ROWS, DIMENSION, SIZE = 6_000, 384, 60
MANY_ROWS, CLUSTERS = 110_000, 20
FLOOR, MOST_LOST = 2.0, 0.02


def embeddings(n: int, dimension: int, directions: int) -> np.ndarray:
    """Unit rows about a common direction and one of several others."""
    rng = numpy_generator(0)
    own = rng.standard_normal((directions, dimension))[rng.integers(directions, size=n)]
    rows = rng.standard_normal((n, dimension)) + own + 1.0
    return unit_rows(rows.astype(np.float32))


def plain(features: np.ndarray, size: int) -> list[int]:
    """The matrix of all pairs in single precision; the gains of all rows at every pick."""
    similar = 0.5 + 0.5 * features @ features.T
    reached, chosen = np.zeros(len(features), dtype=np.float32), []
    for _ in range(size):
        gains = np.maximum(similar - reached[:, None], 0).sum(axis=0)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        np.maximum(reached, similar[:, chosen[-1]], out=reached)
    return chosen


def seconds_of(action) -> tuple[float, object]:
    """Seconds, and what the action gave."""
    started = time.perf_counter()
    result = action()
    return time.perf_counter() - started, result


def peak_of(action) -> float:
    """Peak of memory in MB; measuring it takes time, so it is a run of its own."""
    tracemalloc.start()
    action()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


def test_lazy_greedy_against_all_gains(capsys):
    features = embeddings(ROWS, DIMENSION, 300)
    lazy = lambda: lazy_greedy(FacilityLocation(features), SIZE)  # noqa: E731
    with threadpool_limits(1):
        slow, expected = seconds_of(lambda: plain(features, SIZE))
        fast, (chosen, _) = seconds_of(lazy)
        slow_peak, peak = peak_of(lambda: plain(features, 1)), peak_of(lazy)
    with capsys.disabled():
        print(
            f"\nfacility location, {SIZE} of {ROWS:,} rows: {fast:.2f} s and {peak:.0f} MB lazily "
            f"in blocks; plain {slow:.2f} s and {slow_peak:.0f} MB: {slow / fast:.1f} times"
        )
    assert chosen.tolist() == expected
    assert peak < 0.3 * slow_peak
    assert slow / fast >= FLOOR


def test_nearest_rows_against_all_differences(capsys):
    """As for IMDB at one percent: a class of 12,500 rows and 125 centres."""
    features = embeddings(12_500, 384, 300)
    centres = (features[:125] + features[125:250]) / 2

    def plain_loop() -> list[int]:
        free, found = np.ones(len(features), dtype=bool), []
        for centre in centres:
            distances = np.where(free, np.linalg.norm(features - centre, axis=1), np.inf)
            found.append(int(distances.argmin()))
            free[found[-1]] = False
        return found

    with threadpool_limits(1):
        slow, expected = seconds_of(plain_loop)
        fast, chosen = seconds_of(lambda: nearest_rows(features, centres))
    with capsys.disabled():
        print(f"\nnearest rows of {len(centres)} centres: {slow / fast:.1f} times as fast")
    assert chosen.tolist() == expected
    assert slow / fast >= FLOOR


def test_what_mini_batches_lose(capsys, monkeypatch):
    features = embeddings(MANY_ROWS, 64, 300)

    def loss(centres: np.ndarray) -> float:
        """Inertia: the squared distances to the nearest centre, summed."""
        squared = (centres**2).sum(1) - 2 * features @ centres.T
        return float(squared.min(1).sum() + (features**2).sum())

    clustering = Clustering(renormalise=False)
    clustering.centres(features[:100], 2, seed=0)  # imports scikit-learn
    mini_seconds, mini = seconds_of(lambda: clustering.centres(features, CLUSTERS, seed=1))
    monkeypatch.setattr(centroids, "MINI_BATCH_ROWS", MANY_ROWS)
    seconds, whole = seconds_of(lambda: clustering.centres(features, CLUSTERS, seed=1))
    lost = loss(mini) / loss(whole) - 1
    with capsys.disabled():
        print(
            f"\nk-means of {MANY_ROWS:,} rows into {CLUSTERS}: {mini_seconds:.2f} s in "
            f"mini-batches, {seconds:.2f} s whole: {seconds / mini_seconds:.1f} times; "
            f"inertia {lost:+.2%}"
        )
    assert lost < MOST_LOST
    assert seconds / mini_seconds >= FLOOR
