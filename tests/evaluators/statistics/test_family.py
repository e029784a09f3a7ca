"""A family of methods against one reference: Holm's correction, stars and effect sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from synthetic_cells import cell

from evaluators.statistics import (
    compare_family,
    detectable_difference,
    hedges_g,
    holm,
    probability_of_improvement,
    welch_runs,
    welch_sets,
)


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
    assert probability_of_improvement(np.array([0.1 + 0.2, 0.3]), np.array([0.3, 0.3])) == 0.5
    a, b = np.random.default_rng(0).integers(6, size=(2, 15)).astype(float)
    expected = stats.mannwhitneyu(a, b).statistic / 225
    assert probability_of_improvement(a, b) == pytest.approx(expected)
    # One set says nothing of how another would do: 1.00 beside it would read as a certainty.
    assert math.isnan(probability_of_improvement(np.array([0.9]), np.array([0.1, 0.2])))
    assert math.isnan(probability_of_improvement(np.array([0.1, 0.2]), np.array([0.9])))


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
