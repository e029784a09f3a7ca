"""Farthest-first traversal on toys worked by hand."""

import numpy as np

from benchmark.core.method import METHODS
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from methods.k_center_greedy import farthest_first


def test_line_worked_by_hand():
    # From 0: the farthest is 10 (row 4); then 4 is 4 away from 0, 3 is 3, 9 is 1 from 10.
    features = np.array([[0], [3], [4], [9], [10]], dtype=np.float32)
    assert farthest_first(features, 5, first=0).tolist() == [0, 4, 2, 1, 3]


def test_corners_of_a_rectangle():
    # From a corner: the opposite one (5 away), then the two others, 3 away each: lowest first.
    features = np.array([[0, 0], [4, 0], [4, 3], [0, 3], [2, 1.5]], dtype=np.float32)
    assert farthest_first(features, 4, first=0).tolist() == [0, 2, 1, 3]


def test_it_seeks_outliers_where_k_centers_seeks_the_typical():
    features = np.concatenate([np.zeros((50, 2)), [[100, 0]], [[0, 100]]]).astype(np.float32)
    assert set(farthest_first(features, 3, first=7).tolist()) == {7, 50, 51}


def test_rows_stay_distinct_among_duplicates():
    assert farthest_first(np.ones((5, 3), np.float32), 5, first=2).tolist() == [2, 0, 1, 3, 4]


def test_duplicates_come_last():
    distinct = np.random.default_rng(0).standard_normal((20, 37)).astype(np.float32)
    picked = farthest_first(np.concatenate([distinct, distinct]), 20, first=3)
    assert sorted(picked % 20) == list(range(20))


def test_the_first_row_is_drawn_uniformly():
    features = np.arange(4, dtype=np.float32)[:, None]
    pool = Pool("t", {"text": list("abcd")}, np.zeros(4, int), ["c"], embed=lambda _: features)
    method, rng = METHODS.build("k-center-greedy"), numpy_generator(0)
    counts = np.bincount([method.select(pool, 1, rng)[0] for _ in range(4000)])
    assert (np.abs(counts - 1000) < 120).all()
