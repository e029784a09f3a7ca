"""Herding on toys worked by hand."""

import time

import numpy as np

from benchmark.core.method import METHODS, Budget
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from methods.herding import herd


def test_line_worked_by_hand():
    # The mean is 3; distances to it are 3, 2, 1, 6: row 2 comes first. The sum is 2 and 6 is
    # wanted: with rows 0, 1, 3 it would be 2, 3, 11, so row 1. Then 9 is wanted and the sum is 3:
    # with rows 0 and 3 it would be 3 and 12, so row 3, the farthest from the mean of all.
    features = np.array([[0], [1], [2], [9]], dtype=np.float32)
    assert herd(features, 4).tolist() == [2, 1, 3, 0]


def test_plane_worked_by_hand():
    # The mean is (0, 0) and row 4 the nearest to it. From (1, 1) the rows lead to (5, 5), (-3, 5),
    # (-4, -4) and (5, -3): row 2. From (-4, -4) row 0 leads to (0, 0). Rows 1 and 3 then tie.
    features = np.array([[4, 4], [-4, 4], [-5, -5], [4, -4], [1, 1]], dtype=np.float32)
    assert herd(features, 5).tolist() == [4, 2, 0, 1, 3]


def test_ties_go_to_the_lowest_row_and_rows_are_never_repeated():
    square = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], dtype=np.float32)
    assert herd(square, 4).tolist() == [0, 2, 1, 3]
    assert herd(np.ones((5, 3), dtype=np.float32), 5).tolist() == [0, 1, 2, 3, 4]


def test_equal_rows_tie_exactly():
    # Duplicate texts have equal features; a BLAS product may give them different last bits.
    distinct = np.random.default_rng(0).standard_normal((20, 37)).astype(np.float32)
    features = np.concatenate([distinct, distinct, distinct])
    picked = herd(features, 12)
    for row in picked:
        earlier = [twin for twin in (row % 20, row % 20 + 20) if twin < row]
        assert set(earlier) <= set(picked.tolist())


def test_features_are_not_normalised():
    # On unit vectors rows 0 and 1 are one point; as they are, row 1 is nearest to the mean.
    features = np.array([[1, 0], [4, 0], [7, 0], [4, 1]], dtype=np.float32)
    pool = Pool("t", {"text": list("abcd")}, np.zeros(4, int), ["c"], embed=lambda _: features)
    made = METHODS.build("herding").distil(pool, Budget.dpc(1, 1), numpy_generator(0))
    assert made.rows == (1,)


def test_mean_is_that_of_the_class():
    features = np.array([[0], [2], [1], [100], [102], [101]], dtype=np.float32)
    labels = np.array([0, 0, 0, 1, 1, 1])
    pool = Pool("t", {"text": list("abcdef")}, labels, ["x", "y"], embed=lambda _: features)
    made = METHODS.build("herding").distil(pool, Budget.dpc(1, 2), numpy_generator(0))
    assert made.rows == (2, 5)


def test_37_000_rows_take_well_under_a_second():
    features = np.random.default_rng(0).standard_normal((37_000, 384), dtype=np.float32)
    features.setflags(write=False)
    start = time.perf_counter()
    herd(features, 20)
    assert time.perf_counter() - start < 1.0
