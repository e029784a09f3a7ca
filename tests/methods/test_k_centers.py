"""K-centers (k-means, member nearest each centroid) on toys worked by hand."""

import warnings

import numpy as np
import pytest
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_info, threadpool_limits

from benchmark.core.errors import BenchmarkError
from benchmark.core.method import METHODS, Budget
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from methods.k_centers import kmeans_medoids


def test_three_clusters_worked_by_hand():
    # Centroids (1, 0), (21, 0), (0, 30.5): the middle member of the first two, and of the last
    # the one at 30 (0.5 away; 32 is 1.5 away, 29.5 is 1).
    features = np.array(
        [[0, 0], [1, 0], [2, 0], [20, 0], [22, 0], [21, 0], [0, 32], [0, 30], [0, 29.5]],
        dtype=np.float32,
    )
    for seed in range(5):
        assert sorted(kmeans_medoids(features, 3, seed).tolist()) == [1, 5, 7]


def test_one_cluster_is_the_row_nearest_the_mean():
    features = np.array([[0, 0], [10, 0], [3, 1], [4, 0]], dtype=np.float32)  # mean (4.25, 0.25)
    assert kmeans_medoids(features, 1, seed=0).tolist() == [3]


def test_the_nearest_is_sought_within_the_cluster():
    # Two clusters: {0, 0, 0, 40} round 10 and {100}. Row 3 at 40 is 30 from the centroid, 0 is
    # 10 from it: an example of the cluster, not the centroid itself, and the lowest of the ties.
    features = np.array([[0], [0], [0], [40], [100]], dtype=np.float32)
    found = {frozenset(kmeans_medoids(features, 2, seed).tolist()) for seed in range(5)}
    assert frozenset({0, 4}) in found


@pytest.mark.parametrize("distinct", [1, 2, 4])
def test_fewer_distinct_rows_than_clusters(distinct):
    features = np.eye(4, dtype=np.float32)[np.arange(12) % distinct]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(5):
            for size in (5, 12):
                picked = kmeans_medoids(features, size, seed)
                assert len(set(picked.tolist())) == size
                assert len(np.unique(features[picked], axis=0)) == distinct


def test_duplicates_are_not_picked_while_other_texts_are_left():
    features = np.array([[0]] * 10 + [[1], [2], [3]], dtype=np.float32)
    for seed in range(5):
        assert sorted(kmeans_medoids(features, 4, seed).tolist()) == [0, 10, 11, 12]


def test_read_only_and_memory_mapped_features(tmp_path):
    features = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    assert kmeans_medoids(mapped, 5, 0).tolist() == kmeans_medoids(features, 5, 0).tolist()


def test_classes_are_clustered_apart_and_a_small_class_is_named():
    features = np.array([[0], [1], [2], [0], [1], [2], [9]], dtype=np.float32)
    pool = Pool(
        "t",
        {"text": list("abcdefg")},
        np.array([0, 0, 0, 1, 1, 1, 2]),
        ["x", "y", "z"],
        embed=lambda _: features,
    )
    method = METHODS.build("k-centers")
    assert method.distil(pool, Budget.dpc(1, 3), numpy_generator(0)).rows == (1, 4, 6)
    with pytest.raises(BenchmarkError, match="class 'z' has 1 examples, fewer than the 2"):
        method.distil(pool, Budget.dpc(2, 3), numpy_generator(0))


def test_kmeans_runs_on_one_thread(monkeypatch):
    # Its threads add up float sums in the order in which they finish.
    threads = []
    fit = KMeans.fit

    def watched(self, features):
        threads.extend(library["num_threads"] for library in threadpool_info())
        return fit(self, features)

    monkeypatch.setattr(KMeans, "fit", watched)
    with threadpool_limits(4):
        kmeans_medoids(np.eye(9, dtype=np.float32), 3, seed=0)
    assert set(threads) == {1}
