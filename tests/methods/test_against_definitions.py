"""Selectors give what their definitions give, written out plainly and in double precision."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmark.core.assets import Assets
from benchmark.core.catalogue import Catalogue
from benchmark.core.data import load_task
from benchmark.core.encoders import Encoder
from benchmark.core.method import METHODS, Budget
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from methods.herding import herd
from methods.k_center_greedy import farthest_first
from methods.k_centers import kmeans_medoids


def plain_herding(features: np.ndarray, size: int) -> list[int]:
    """The definition, word for word, in double precision."""
    features = features.astype(np.float64)
    mean = features.mean(axis=0)
    chosen: list[int] = []
    for t in range(size):
        so_far = features[chosen].sum(axis=0)
        gaps = [
            np.inf if i in chosen else np.linalg.norm(so_far + x - (t + 1) * mean)
            for i, x in enumerate(features)
        ]
        chosen.append(int(np.argmin(gaps)))
    return chosen


def plain_farthest_first(features: np.ndarray, size: int, first: int) -> list[int]:
    """The definition, in double precision."""
    features = features.astype(np.float64)
    chosen = [first]
    while len(chosen) < size:
        gaps = [
            -1.0 if i in chosen else min(np.linalg.norm(x - features[c]) for c in chosen)
            for i, x in enumerate(features)
        ]
        chosen.append(int(np.argmax(gaps)))
    return chosen


def plain_kmeans_medoids(features: np.ndarray, size: int, seed: int) -> list[int]:
    """Lloyd's algorithm by its definition, in double precision, from the same k-means++ start."""
    from sklearn.cluster import kmeans_plusplus

    centred = features - features.mean(axis=0)  # as scikit-learn does before it starts
    _, start = kmeans_plusplus(centred, size, random_state=seed)
    features = features.astype(np.float64)
    centres = features[start]
    labels = None
    for _ in range(300):
        distances = np.array([[np.linalg.norm(x - c) for c in centres] for x in features])
        if labels is not None and (distances.argmin(axis=1) == labels).all():
            break
        labels = distances.argmin(axis=1)
        centres = np.array([features[labels == c].mean(axis=0) for c in range(size)])
    medoids = []
    for cluster in range(size):
        members = [i for i in range(len(features)) if labels[i] == cluster]
        medoids.append(min(members, key=lambda i: np.linalg.norm(features[i] - centres[cluster])))
    return medoids


@pytest.fixture(scope="module")
def sst2() -> Pool:
    """500 real rows of SST-2 with their MiniLM features, evenly spread over the file."""
    if not os.environ.get("BENCHMARK_ASSETS"):
        pytest.skip("BENCHMARK_ASSETS names no assets directory")
    assets, catalogue = Assets(Path(os.environ["BENCHMARK_ASSETS"])), Catalogue.load()
    whole = load_task(catalogue.task("sst2"), assets).pool
    part = whole.subset(np.linspace(0, len(whole) - 1, 500).astype(int))
    spec = catalogue.encoder("minilm")
    features = Encoder(spec, assets.model(catalogue.model(spec.model))).encode(part.texts())
    features.setflags(write=False)
    return Pool("sst2-500", part.texts(), part.labels, part.classes, embed=lambda _: features)


REAL = pytest.param("sst2", marks=pytest.mark.realdata)


@pytest.fixture(params=["normalised", "raw", REAL])
def features(request) -> np.ndarray:
    """500 rows of features: blobs, of unit length or not, or real ones."""
    if request.param == "sst2":
        return request.getfixturevalue("sst2").embed("minilm")
    rng = np.random.default_rng(5)
    blobs = rng.standard_normal((12, 64))[rng.integers(12, size=500)] + rng.standard_normal(64) * 2
    rows = blobs + rng.standard_normal((500, 64)) * 0.6
    if request.param == "normalised":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def test_herding(features):
    assert herd(features, 20).tolist() == plain_herding(features, 20)


@pytest.mark.parametrize("first", [0, 123])
def test_farthest_first(features, first):
    assert farthest_first(features, 20, first).tolist() == plain_farthest_first(features, 20, first)


@pytest.mark.parametrize("size", [5, 20])
@pytest.mark.parametrize("seed", range(3))
def test_kmeans_medoids(features, size, seed):
    assert kmeans_medoids(features, size, seed).tolist() == plain_kmeans_medoids(
        features, size, seed
    )


@pytest.mark.realdata
def test_herding_of_real_classes(sst2):
    made = METHODS.build("herding").distil(sst2, Budget.dpc(5, 2), numpy_generator(0))
    rows = [np.flatnonzero(sst2.labels == label) for label in (0, 1)]
    plain = [r[plain_herding(sst2.embed("minilm")[r], 5)] for r in rows]
    assert made.rows == tuple(np.concatenate(plain).tolist())
