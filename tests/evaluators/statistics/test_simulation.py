"""A simulation of equal methods shows why the set is the unit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from synthetic_cells import simulate

from evaluators.statistics import compare_family, summarise, t_interval, welch


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
