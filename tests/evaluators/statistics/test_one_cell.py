"""The summary of one cell: mean, interval, intra-class correlation and design effect."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from synthetic_cells import RAGGED, cell, simulate

from evaluators.statistics import design_effect, icc, set_means, summarise, t_interval, welch_sets


def test_set_means_drop_sets_without_runs():
    assert set_means([[0.2, 0.4], [0.6, 0.8]]) == pytest.approx([0.3, 0.7])
    assert set_means(RAGGED) == pytest.approx([0.6, 0.9])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[0.5, np.nan], [0.5, 0.5]], "set 0 has a score that is NaN"),
        ([[0.5, 0.5], [0.5, np.inf]], "set 1 has a score that is NaN or infinite"),
        ([[0.5, None]], "leave failed runs out"),
        ([0.5, 0.6], "one 1-D array per set"),
        (np.zeros((2, 2, 2)), "one 1-D array per set"),
        ([], "without runs"),
        (np.zeros((3, 0)), "without runs"),
    ],
)
def test_malformed_scores_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        summarise(scores)
    with pytest.raises(ValueError, match=message):
        welch_sets(scores, [[0.5], [0.6]])


def test_summary_by_hand():
    summary = summarise([[1.0, 3.0], [5.0, 7.0]])
    # Set means 2 and 6: s = sqrt(8), s / sqrt(2) = 2, t(.975, 1) = 12.7062.
    assert (summary.mean, summary.n_sets, summary.n_runs) == (4.0, 2, 4)
    assert summary.std == pytest.approx(math.sqrt(5))
    assert summary.ci_low == pytest.approx(4 - 2 * 12.7062, abs=1e-3)
    assert summary.ci_high == pytest.approx(4 + 2 * 12.7062, abs=1e-3)
    # MSB = 16, MSW = 2: (16 - 2) / (16 + 2).
    assert summary.icc == pytest.approx(14 / 18)
    assert summary.design_effect == pytest.approx(1 + 14 / 18)


def test_summary_of_a_ragged_cell():
    summary = summarise(RAGGED)
    assert (summary.n_sets, summary.n_runs) == (2, 3)
    assert summary.mean == pytest.approx(0.7)
    # The interval is centred on the mean of set means.
    assert (summary.ci_low + summary.ci_high) / 2 == pytest.approx(0.75)
    # n = (2, 1): MSB = .06, MSW = .02, n0 = 3 - 5/3 = 4/3, m = 5/3.
    assert summary.icc == pytest.approx(0.04 / (0.06 + 0.02 / 3))
    assert summary.design_effect == pytest.approx(1 + (2 / 3) * summary.icc)


def test_one_set_has_no_interval_and_no_icc():
    summary = summarise([[0.5, 0.6, 0.7]])
    assert summary.mean == pytest.approx(0.6)
    assert summary.std == pytest.approx(np.std([0.5, 0.6, 0.7]))
    undefined = summary.ci_low, summary.ci_high, summary.icc, summary.design_effect
    assert np.isnan(undefined).all()


def test_interval_agrees_with_scipy_and_is_not_clipped():
    sample = np.random.default_rng(0).normal(size=(3, 7))
    expected = stats.t.interval(0.95, 6, sample.mean(axis=1), stats.sem(sample, axis=1))
    assert np.allclose(t_interval(sample), expected)
    assert t_interval([0.9, 1.0])[1] > 1


def test_icc_where_seeds_add_nothing_and_where_sets_add_nothing():
    assert icc([[0.1] * 5, [0.3] * 5, [0.9] * 5]) == pytest.approx(1)
    assert design_effect([[0.1] * 5, [0.3] * 5, [0.9] * 5]) == pytest.approx(5)
    # Equal set means: the lowest possible value, -1 / (m - 1), is not clipped.
    assert icc([[0.0, 1.0], [1.0, 0.0]]) == pytest.approx(-1)


def test_icc_recovers_the_truth():
    scores = simulate(np.random.default_rng(4), 1, 0.3, sets=4000)[0]
    assert icc(scores) == pytest.approx(0.3, abs=0.02)
    ragged = [runs[: 1 + i % 5] for i, runs in enumerate(scores)]
    assert icc(ragged) == pytest.approx(0.3, abs=0.03)


def test_design_effect_is_exact_for_the_mean_over_runs_of_a_ragged_cell():
    sizes = [1, 2, 5, 2]
    clusters = [runs[:n] for runs, n in zip(cell(0, 0, 4), sizes, strict=True)]
    rho, total = icc(clusters), sum(sizes)
    variance = sum(n + n * (n - 1) * rho for n in sizes) / total**2
    assert design_effect(clusters) == pytest.approx(variance * total)


def test_icc_and_design_effect_where_undefined():
    assert math.isnan(icc([[0.5], [0.6]]))
    assert design_effect([[0.5], [0.6]]) == 1.0
    assert math.isnan(icc(np.full((20, 5), 0.8)))
    assert math.isnan(design_effect(np.full((20, 5), 0.8)))
