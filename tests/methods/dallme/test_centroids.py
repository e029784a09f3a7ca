"""Centroids and the rows nearest to them, on toys worked by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.cluster import KMeans, MiniBatchKMeans

from benchmark.core.errors import BenchmarkError, InputError
from benchmark.core.method import METHODS, Budget
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from benchmark.testing import parametrize_with_method_checks
from methods import centroids
from methods.centroids import Clustering, nearest_rows


@parametrize_with_method_checks(["dallme-nearest"])
def test_conformance(method, check):
    check(method)


def bundles(sizes, seed=0, spread=0.05):
    """Rows on the sphere about the axes."""
    axes = np.repeat(np.eye(len(sizes), 6), sizes, axis=0)
    rows = axes + spread * np.random.default_rng(seed).standard_normal(axes.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_kmeans_is_that_of_scikit_learn():
    features = bundles([20, 10, 5], spread=0.5)
    made = Clustering(renormalise=False).centres(features, 4, seed=3)
    expected = KMeans(4, n_init=1, max_iter=300, random_state=3).fit(features).cluster_centers_
    np.testing.assert_allclose(made, expected, atol=1e-6)
    several = Clustering(restarts=10, renormalise=False).centres(features, 4, seed=3)
    loss = [((features[:, None] - c) ** 2).sum(2).min(1).sum() for c in (made, several)]
    assert loss[1] <= loss[0] + 1e-6


@pytest.mark.parametrize("kind", ["kmeans", "gmm"])
def test_centres_are_the_means_of_their_bundles(kind):
    features = bundles([20, 10, 5])
    made = Clustering(kind, restarts=5, renormalise=False).centres(features, 3, seed=0)
    order = made.argmax(axis=1).argsort()
    parts = np.split(features, [20, 30])
    np.testing.assert_allclose(made[order], [part.mean(axis=0) for part in parts], atol=1e-4)
    assert (np.linalg.norm(made, axis=1) < 1).all()


@pytest.mark.parametrize("kind", ["kmeans", "gmm"])
@pytest.mark.parametrize("length", [1.0, 7.5])
def test_renormalised_centres_have_the_length_of_rows(kind, length):
    features = length * bundles([20, 10, 5], spread=0.4)
    plain = Clustering(kind, renormalise=False).centres(features, 3, seed=0)
    made = Clustering(kind).centres(features, 3, seed=0)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), length, rtol=1e-5)
    cosines = (made * plain).sum(1) / length / np.linalg.norm(plain, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


@pytest.mark.parametrize("kind", ["kmeans", "gmm"])
@pytest.mark.parametrize("size", [1, 7, 12])
def test_duplicates_and_as_many_centres_as_rows(kind, size):
    features = np.eye(4, dtype=np.float32)[np.arange(12) % 4]
    made = Clustering(kind).centres(features, size, seed=1)
    assert made.shape == (size, 4)
    assert np.isfinite(made).all()


def test_mini_batches_beyond_so_many_rows(monkeypatch):
    features = bundles([60, 50, 40])
    whole = Clustering(renormalise=False).centres(features, 3, seed=0)
    used = []
    fit = MiniBatchKMeans.fit
    monkeypatch.setattr(MiniBatchKMeans, "fit", lambda *a: used.append(1) or fit(*a))
    monkeypatch.setattr(centroids, "MINI_BATCH_ROWS", 150)
    Clustering().centres(features, 3, seed=0)
    assert not used
    monkeypatch.setattr(centroids, "MINI_BATCH_ROWS", 149)
    mini = Clustering(restarts=3, renormalise=False).centres(features, 3, seed=0)
    assert used
    gaps = np.linalg.norm(whole[:, None] - mini, axis=2).min(axis=1)
    assert gaps.max() < 0.1


def test_the_nearest_free_row():
    features = np.array([[0, 0], [1, 0], [2, 0], [2, 0]], dtype=np.float32)
    centres = np.array([[1.9, 0], [2, 0], [2.1, 0], [0, 9]], dtype=np.float32)
    assert nearest_rows(features, centres).tolist() == [2, 3, 1, 0]


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
@pytest.mark.parametrize("whole", [True, False])
def test_nearest_rows_are_those_of_the_plain_loop(scale, whole):
    """With many ties (coordinates are small whole numbers), and with none."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(300, 12)) if not whole else rng.integers(0, 3, size=(300, 4))
    features = (scale * features).astype(np.float32)
    centres = features[rng.integers(0, 300, 200)] * np.float32(0.9)
    free, expected = np.ones(300, dtype=bool), []
    for centre in centres:
        distances = np.where(free, np.linalg.norm(features - centre, axis=1), np.inf)
        expected.append(int(distances.argmin()))
        free[expected[-1]] = False
    assert nearest_rows(features, centres).tolist() == expected


def test_the_sphere_decides_between_inner_and_outer_rows():
    # The mean of the rows is (.55, .56), nearest to the third of them. Scaled to their mean length
    # of .93 it is (.65, .67), and the fourth is nearer.
    features = np.array([[1, 0], [0, 1], [0.45, 0.5], [0.75, 0.75]], dtype=np.float32)
    labels = np.zeros(4, dtype=int)
    pool = Pool("t", {"text": list("abcd")}, labels, ["x", "y"], embed=lambda name: features)
    picked = {}
    for flag in (True, False):
        method = METHODS.build("dallme-nearest", {"renormalise": flag})
        picked[flag] = method.distil(pool, Budget((1, 0)), numpy_generator(0)).rows
    assert picked == {True: (3,), False: (2,)}


def test_too_few_rows_and_bad_parameters():
    with pytest.raises(BenchmarkError, match="3 examples are fewer than 4 centroids"):
        Clustering().centres(np.eye(3, dtype=np.float32), 4, seed=0)
    with pytest.raises(InputError, match="restarts is 0"):
        METHODS.build("dallme-nearest", {"restarts": 0})
    with pytest.raises(InputError, match="is none of"):
        METHODS.build("dallme-nearest", {"clustering": "dbscan"})
