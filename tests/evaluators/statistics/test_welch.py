"""Welch's test of two cells, by sets and by runs, against scipy and where it is undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from synthetic_cells import RAGGED, cell

from evaluators.statistics import welch, welch_runs, welch_sets


@pytest.mark.parametrize("sizes", [(20, 20), (2, 20), (3, 2)])
def test_welch_agrees_with_scipy(sizes):
    a, b = cell(0.8, 1, sizes[0]), cell(0.79, 2, sizes[1], spread=0.03)
    for ours, x, y in [
        (welch_sets(a, b), a.mean(axis=1), b.mean(axis=1)),
        (welch_runs(a, b), a.ravel(), b.ravel()),
    ]:
        theirs = stats.ttest_ind(x, y, equal_var=False)
        interval = theirs.confidence_interval()
        assert ours.difference == pytest.approx(x.mean() - y.mean())
        assert (ours.t, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue))
        assert ours.df == pytest.approx(theirs.df)
        assert (ours.ci_low, ours.ci_high) == pytest.approx((interval.low, interval.high))
        assert isinstance(ours.p, float)


def test_welch_many_at_once_equals_one_by_one():
    a, b = np.random.default_rng(0).random((2, 4, 6))
    a[0] = b[0] = 0.5
    many = welch(a, b)
    assert many.p.tolist() == [welch(x, y).p for x, y in zip(a, b, strict=True)]


def test_welch_on_ragged_cells_weighs_sets_equally():
    assert welch_sets(RAGGED, [[0.6], [0.6]]).difference == pytest.approx(0.15)
    assert welch_runs(RAGGED, [[0.6], [0.6]]).difference == pytest.approx(0.1)


@pytest.mark.parametrize("value", [0.8, 0.1, 1 / 3, 0.0])
def test_welch_without_variance(value):
    a = np.full((20, 5), value)
    same = welch_sets(a, a[:7, :3])
    assert (same.difference, same.t, same.p) == (0.0, 0.0, 1.0)
    assert (same.ci_low, same.ci_high) == (0.0, 0.0)
    less = welch_sets(a, a + 0.1)
    assert (less.t, less.p) == (-math.inf, 0.0)
    assert less.ci_low == less.ci_high == pytest.approx(-0.1)
    assert math.isnan(less.df)


def test_welch_with_one_constant_sample():
    a, b = np.full((20, 5), 0.8), cell(0.8, 0)
    expected = stats.ttest_1samp(b.mean(axis=1), 0.8)
    assert welch_sets(a, b).p == pytest.approx(expected.pvalue)


def test_welch_needs_two_sets_in_both():
    one, many = [[0.8, 0.9, 0.7]], cell(0.7, 0)
    for test in (welch_sets(one, many), welch_sets(many, one), welch_sets(one, one)):
        assert np.isnan([test.t, test.df, test.p, test.ci_low, test.ci_high]).all()
    assert welch_sets(one, many).difference == pytest.approx(0.8 - many.mean())
    assert 0 <= welch_runs(one, many).p <= 1
