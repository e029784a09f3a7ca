"""Comparisons across tasks: Friedman's test, critical differences, rank correlation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evaluators.statistics import critical_difference, friedman, rank_correlation


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
