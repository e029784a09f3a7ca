"""Statistics against hand-made answers, against scipy, and against a simulation of the truth."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy import stats

from evaluators.statistics import (
    compare_family,
    critical_difference,
    design_effect,
    detectable_difference,
    friedman,
    hedges_g,
    holm,
    icc,
    probability_of_improvement,
    rank_correlation,
    rank_with_ties,
    set_means,
    summarise,
    t_interval,
    two_stage_bootstrap,
    welch,
    welch_runs,
    welch_sets,
)

RAGGED = [np.array([0.5, 0.7]), np.array([]), np.array([0.9])]


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def cell(mean: float, seed: int, sets: int = 20, seeds: int = 5, spread: float = 0.01):
    rng = np.random.default_rng(seed)
    return mean + spread * (rng.normal(size=(sets, 1)) + rng.normal(size=(sets, seeds)))


# One cell


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


# Welch


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


# A family


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert holm([0.03]).tolist() == [0.03]


def test_holm_does_not_count_tests_that_were_not_made():
    corrected = holm([math.nan, 0.01, math.nan, 0.04])
    assert corrected[[1, 3]] == pytest.approx([0.02, 0.04])
    assert np.isnan(corrected[[0, 2]]).all()
    assert np.isnan(holm([math.nan])).all()
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("bad", [[1.2], [-0.1], [[0.1]]])
def test_holm_refuses_what_is_no_p_value(bad):
    with pytest.raises(ValueError, match="p-values"):
        holm(bad)


def test_compare_family():
    cells = {
        "random": cell(0.60, 1),
        "k-centers": cell(0.70, 2),
        "dilm": cell(0.75, 3),
        "tie": cell(0.70, 4),
        "full": [np.full(3, 0.9)],
    }
    family = compare_family(cells, "k-centers")
    assert list(family) == ["random", "dilm", "tie", "full"]
    # A star means better; significantly worse is said, not starred.
    assert [c.star for c in family.values()] == ["", "*", "", ""]
    assert [c.direction for c in family.values()] == ["worse", "better", "", ""]
    for name, c in family.items():
        assert c.p_runs == welch_runs(cells[name], cells["k-centers"]).p
    raw = [welch_sets(cells[n], cells["k-centers"]).p for n in ("random", "dilm", "tie")]
    assert [family[n].p_sets for n in ("random", "dilm", "tie")] == raw
    assert [family[n].p_holm for n in ("random", "dilm", "tie")] == list(holm(raw))
    full = family["full"]
    assert np.isnan([full.p_sets, full.p_holm, full.hedges_g, full.detectable_difference]).all()
    assert full.untested == "only one set: full"
    assert family["dilm"].untested == ""


def test_star_is_decided_by_holm_not_by_the_raw_p_value():
    base = np.random.default_rng(0).normal(size=20)
    base = (base - base.mean()) / base.std(ddof=1)
    # A shift of 2.2 standard errors of the difference: p = .034 alone.
    shifted = base + 2.2 * math.sqrt(2 / 20)
    cells = {"ref": base[:, None], "x": shifted[:, None]}
    assert compare_family(cells, "ref")["x"].star == "*"
    with_other = compare_family({**cells, "y": base[::-1, None]}, "ref")["x"]
    assert with_other.p_sets < 0.05 < with_other.p_holm
    assert with_other.star == with_other.direction == ""


def test_compare_family_names_what_is_wrong():
    with pytest.raises(ValueError, match="reference 'herding' is not among random, dilm"):
        compare_family({"random": cell(0, 0), "dilm": cell(0, 1)}, "herding")
    with pytest.raises(ValueError, match="cell 'dilm': set 0 has a score that is NaN"):
        compare_family({"random": cell(0, 0), "dilm": [[math.nan]]}, "random")
    assert compare_family({"random": cell(0, 0)}, "random") == {}


def test_single_set_reference_is_named():
    family = compare_family({"full": [[0.9, 0.8]], "random": cell(0.6, 0)}, "full")
    assert family["random"].untested == "only one set: full"
    assert family["random"].star == ""


def test_constant_cells_do_not_warn():
    a = np.full((20, 5), 0.8)
    family = compare_family({"ref": a, "same": a[:, :3], "less": a - 0.1}, "ref")
    same, less = family["same"], family["less"]
    assert (same.p_sets, same.hedges_g, same.probability_of_improvement) == (1, 0, 0.5)
    assert same.detectable_difference == 0
    assert (less.p_sets, less.hedges_g, less.probability_of_improvement) == (0, -math.inf, 0)
    assert (less.direction, less.star) == ("worse", "")


def test_hedges_g_by_hand():
    # d = -1, v = 4: J = gamma(2) / (sqrt(2) gamma(1.5)) = .797885.
    assert hedges_g(np.array([1.0, 2, 3]), np.array([2.0, 3, 4])) == pytest.approx(-0.797885)
    assert math.isnan(hedges_g(np.array([1.0]), np.array([2.0, 3])))


def test_probability_of_improvement():
    # Pairs of (2, 3) over (1, 2): win, tie, win, win.
    assert probability_of_improvement(np.array([2.0, 3]), np.array([1.0, 2])) == 3.5 / 4
    assert probability_of_improvement(np.array([0.1 + 0.2]), np.array([0.3])) == 0.5
    a, b = np.random.default_rng(0).integers(6, size=(2, 15)).astype(float)
    expected = stats.mannwhitneyu(a, b).statistic / 225
    assert probability_of_improvement(a, b) == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [(20, 20), (3, 3), (2, 20)])
def test_detectable_difference_has_80_percent_power(sizes):
    n_a, n_b = sizes
    a, b = np.random.default_rng(0).normal(0, 0.02, size=20)[:n_a], np.arange(n_b) * 0.01
    df = n_a + n_b - 2
    pooled = ((n_a - 1) * a.var(ddof=1) + (n_b - 1) * b.var(ddof=1)) / df
    shift = detectable_difference(a, b) / math.sqrt(pooled * (1 / n_a + 1 / n_b))
    critical = stats.t.isf(0.025, df)
    power = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    assert power == pytest.approx(0.8, abs=1e-4)


# Ranks


def test_ranks_share_ties_and_leave_out_the_full_data_row():
    cells = {
        "random": cell(0.6, 1),
        "herding": cell(0.7, 2),
        "k-centers": cell(0.7, 3),
        "dilm": cell(0.8, 4),
        "full": [[0.9, 0.91]],
    }
    ranks = {name: rank.interval for name, rank in rank_with_ties(cells).items()}
    assert ranks == {
        "random": (4, 4),
        "herding": (2, 3),
        "k-centers": (2, 3),
        "dilm": (1, 1),
        "full": (None, None),
    }


def test_ranks_where_ties_do_not_carry_over():
    base = np.linspace(-1, 1, 20)[:, None]
    cells = {"a": base + 0.6, "b": base + 0.3, "c": base}
    ranks = {name: rank.interval for name, rank in rank_with_ties(cells).items()}
    assert ranks == {"a": (1, 2), "b": (1, 3), "c": (2, 3)}


def test_ranks_are_corrected_over_all_pairs():
    base = np.linspace(-1, 1, 20)[:, None]
    pair = {"a": base + 0.42, "b": base}
    assert welch_sets(pair["a"], pair["b"]).p == pytest.approx(0.039, abs=0.001)
    assert rank_with_ties(pair)["b"].rank == 2
    assert rank_with_ties({**pair, "c": base + 0.2})["b"].rank == 1


def test_ranks_of_one_and_of_none():
    assert rank_with_ties({"a": cell(0, 0)})["a"].interval == (1, 1)
    assert rank_with_ties({"full": [[0.9]]})["full"].interval == (None, None)
    assert rank_with_ties({}) == {}


# Bootstrap


def test_bootstrap_estimate_and_error_of_one_cell():
    scores = cell(0.7, 0, sets=50, seeds=4)
    result = two_stage_bootstrap([scores], rng=np.random.default_rng(0), n_resamples=4000)
    # Variance of the two-stage bootstrap of nested data, both stages with replacement.
    between = scores.mean(axis=1).var() / 50
    within = scores.var(axis=1).mean() / (50 * 4)
    assert result.estimate == pytest.approx(scores.mean())
    assert result.standard_error == pytest.approx(math.sqrt(between + within), rel=0.05)
    assert result.ci_low == pytest.approx(result.estimate - 1.96 * result.standard_error, abs=1e-3)
    assert result.ci_high == pytest.approx(result.estimate + 1.96 * result.standard_error, abs=1e-3)
    assert (result.n_resamples, result.one_set_cells) == (4000, 0)


def test_bootstrap_averages_tasks_and_pairs_methods_by_task():
    tasks_a = [cell(0.8, 1), cell(0.6, 2), RAGGED]
    tasks_b = [cell(0.7, 3), cell(0.6, 4), [[0.5], [0.6, 0.7]]]
    means_a, means_b = ([set_means(c).mean() for c in t] for t in (tasks_a, tasks_b))
    rng = np.random.default_rng(0)
    alone = two_stage_bootstrap(tasks_a, rng=rng, n_resamples=500)
    lead = two_stage_bootstrap(tasks_a, tasks_b, rng=rng, n_resamples=500)
    assert alone.estimate == pytest.approx(np.mean(means_a))
    assert lead.estimate == pytest.approx(np.mean(means_a) - np.mean(means_b))
    assert lead.ci_low < lead.estimate < lead.ci_high


def test_bootstrap_never_mixes_runs_of_two_sets_and_respects_raggedness():
    # A constant set keeps its constant, so a cell mean is a mix of set constants only.
    constant = [[1.0] * 5, [2.0], [4.0] * 3]
    seen = []

    def spy(means, axis):
        seen.append(means)
        return np.mean(means, axis=axis)

    two_stage_bootstrap([constant], statistic=spy, rng=np.random.default_rng(0), n_resamples=300)
    assert np.unique(np.round(seen[1], 9)).tolist() == [1.0, 2.0, 4.0]
    assert seen[1].shape == (300, 3)


def test_bootstrap_draws_seeds_within_a_single_set():
    result = two_stage_bootstrap([[[0.0, 1.0]]], rng=np.random.default_rng(0), n_resamples=4000)
    assert result.one_set_cells == 1
    assert result.standard_error == pytest.approx(math.sqrt(1 / 8), rel=0.05)


def test_bootstrap_takes_any_statistic_and_only_the_given_rng():
    cells = [cell(0.7, 0)]
    state = np.random.get_state()[1].copy()
    first, again = (
        two_stage_bootstrap(
            cells, statistic=np.median, rng=np.random.default_rng(3), n_resamples=200
        )
        for _ in range(2)
    )
    assert first == again
    assert first.estimate == pytest.approx(np.median(set_means(cells[0])))
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"cells": []}, ValueError, "no cells"),
        ({"other": []}, ValueError, "paired by task"),
        ({"n_resamples": 0}, ValueError, "at least 1"),
        ({"statistic": "median"}, ValueError, "'mean' or a callable"),
        ({"rng": 3}, TypeError, "numpy Generator, not int"),
        ({"cells": [[[math.nan]]]}, ValueError, "NaN"),
    ],
)
def test_bootstrap_refuses(arguments, error, message):
    valid = {"cells": [[[0.5, 0.6]]], "rng": np.random.default_rng(0)}
    with pytest.raises(error, match=message):
        two_stage_bootstrap(**(valid | arguments))


def test_bootstrap_interval_covers_the_truth():
    rng = np.random.default_rng(11)
    covered = []
    for scores in simulate(rng, 300, 0.5):
        result = two_stage_bootstrap([scores], rng=rng, n_resamples=400)
        covered.append(result.ci_low <= 0 <= result.ci_high)
    assert 0.91 <= np.mean(covered) <= 0.98


# Across tasks


def by_task(scores: np.ndarray) -> dict[str, dict[str, float]]:
    names = [f"m{j}" for j in range(scores.shape[1])]
    return {f"t{i}": dict(zip(names, row, strict=True)) for i, row in enumerate(scores.tolist())}


def test_friedman_agrees_with_scipy():
    scores = np.random.default_rng(0).random((12, 4)) + [0.0, 0.5, 0.1, 0.0]
    scores[0] = 0.5
    result = friedman(by_task(scores))
    expected = stats.friedmanchisquare(*scores.T)
    assert (result.statistic, result.p) == pytest.approx(tuple(expected))
    ranks = stats.rankdata(-scores, axis=1).mean(axis=0)
    assert result.average_ranks == pytest.approx({f"m{j}": r for j, r in enumerate(ranks)})
    assert next(iter(result.average_ranks)) == "m1"
    assert (result.n_tasks, result.descriptive_only) == (12, False)


def test_friedman_is_descriptive_below_ten_tasks():
    scores = np.random.default_rng(0).random((10, 3))
    assert not friedman(by_task(scores)).descriptive_only
    assert friedman(by_task(scores[:9])).descriptive_only


def test_friedman_groups_are_the_bars_of_the_diagram():
    # Ranks 1, 2, 3, 4 on each of 10 tasks; CD = 2.569 * sqrt(20 / 60) = 1.483.
    result = friedman(by_task(np.tile([0.9, 0.8, 0.7, 0.6], (10, 1))))
    assert result.critical_difference == pytest.approx(1.483, abs=1e-3)
    assert result.groups == (("m0", "m1"), ("m1", "m2"), ("m2", "m3"))
    apart = friedman(by_task(np.tile([0.9, 0.8, 0.7, 0.6], (40, 1))))
    assert apart.groups == ()
    together = friedman(by_task(np.tile([0.9, 0.8, 0.7, 0.6], (2, 1))))
    assert together.groups == (("m0", "m1", "m2", "m3"),)


def test_friedman_of_ties_only():
    result = friedman(by_task(np.full((3, 3), 0.5)))
    assert (result.statistic, result.p) == (0.0, 1.0)
    assert set(result.average_ranks.values()) == {2.0}


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "2 tasks and 3 methods, not 0 and 0"),
        ({"t": {"a": 1, "b": 2, "c": 3}}, "not 1 and 3"),
        ({"t": {"a": 1, "b": 2}, "u": {"a": 1, "b": 2}}, "not 2 and 2"),
        ({"t": {"a": 1, "b": 2, "c": 3}, "u": {"a": 1, "b": 2}}, r"\['c'\] not scored on both"),
        ({"t": {"a": 1, "b": 2, "c": 3}, "u": {"a": 1, "b": 2, "c": math.nan}}, "NaN"),
    ],
)
def test_friedman_refuses(scores, message):
    with pytest.raises(ValueError, match=message):
        friedman(scores)


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_difference_has_the_q_values_of_demsar(methods, q):
    expected = q * math.sqrt(methods * (methods + 1) / (6 * 14))
    assert critical_difference(methods, 14) == pytest.approx(expected, rel=1e-3)


def test_critical_difference_refuses_one_method():
    with pytest.raises(ValueError, match="2 methods"):
        critical_difference(1, 10)


def test_rank_correlation():
    a = {"x": 1, "y": 2, "z": 3, "w": 3}
    assert rank_correlation(a, {"w": 3, "z": 3, "y": 2, "x": 1}).tau == pytest.approx(1)
    # Of 6 pairs: 3 concordant, 2 discordant, 1 tied in a; tau-b = 1 / sqrt(5 * 6).
    mixed = rank_correlation(a, {"x": 1, "y": 4, "z": 2, "w": 3})
    assert mixed.tau == pytest.approx(1 / math.sqrt(30))
    assert mixed.n_methods == 4


def test_rank_correlation_where_undefined_or_wrong():
    assert math.isnan(rank_correlation({"x": 1}, {"x": 1}).tau)
    assert math.isnan(rank_correlation({"x": 1, "y": 1}, {"x": 1, "y": 2}).tau)
    with pytest.raises(ValueError, match=r"only one of the two rankings has \['y'\]"):
        rank_correlation({"x": 1}, {"x": 1, "y": 2})
    with pytest.raises(ValueError, match="unranked"):
        rank_correlation({"x": 1, "y": None}, {"x": 1, "y": 2})


# The simulation: why the set is the unit


def simulate(rng, repetitions: int, rho: float, sets: int = 20, seeds: int = 5) -> np.ndarray:
    """Return scores[repetition, set, seed] with mean 0, variance 1 and intra-class correlation."""
    of_sets = rng.normal(scale=math.sqrt(rho), size=(repetitions, sets, 1))
    return of_sets + rng.normal(scale=math.sqrt(1 - rho), size=(repetitions, sets, seeds))


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.5, 0.8])
def test_equal_methods_are_told_apart_in_five_percent_by_sets_and_too_often_by_runs(rho):
    repetitions = 8000
    rng = np.random.default_rng(20)
    a, b = (simulate(rng, repetitions, rho) for _ in range(2))
    p_sets = welch(a.mean(axis=2), b.mean(axis=2)).p
    p_runs = welch(a.reshape(repetitions, -1), b.reshape(repetitions, -1)).p

    assert 0.03 <= np.mean(p_sets < 0.05) <= 0.07
    # The mean over runs has 1 + 4 rho times the variance that the pooled test believes in.
    pooled_error = 2 * stats.norm.sf(1.96 / math.sqrt(1 + 4 * rho))
    assert np.mean(p_runs < 0.05) == pytest.approx(pooled_error, abs=0.02)

    low, high = t_interval(a.mean(axis=2))
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.97

    # The star goes the same way: same p-values, and starred exactly where p < .05 and a leads.
    starred = []
    for i in range(500):
        comparison = compare_family({"a": a[i], "b": b[i]}, reference="b")["a"]
        assert comparison.p_sets == comparison.p_holm == pytest.approx(p_sets[i])
        assert comparison.p_runs == pytest.approx(p_runs[i])
        starred.append(comparison.star == "*")
        assert summarise(a[i]).ci_low == pytest.approx(low[i])
    leads = a.mean(axis=(1, 2)) > b.mean(axis=(1, 2))
    assert starred == ((p_sets < 0.05) & leads)[:500].tolist()


def test_importing_is_cheap():
    code = (
        "import sys, evaluators.statistics;"
        "print([m for m in ('scipy.stats', 'statsmodels', 'pandas') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.stdout.strip() == "[]", loaded.stderr
