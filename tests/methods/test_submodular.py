"""Facility location and graph cut: gains by their definitions, lazy greedy as the plain one."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import InputError
from benchmark.core.method import METHODS, Budget
from benchmark.core.seeding import numpy_generator
from benchmark.testing import parametrize_with_method_checks, toy_pool
from methods import submodular_functions
from methods.submodular_functions import FacilityLocation, GraphCut, lazy_greedy

quick = settings(max_examples=40, derandomize=True, deadline=None, database=None)


@parametrize_with_method_checks(["submodular", "submodular-graph-cut"])
def test_conformance(method, check):
    check(method)


def similarities(features):
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    unit = unit.astype(np.float64)
    return 0.5 + 0.5 * unit @ unit.T


def facility_location(s, chosen):
    return s[:, chosen].max(axis=1).sum() if len(chosen) else 0.0


def graph_cut(s, chosen, weight=1.0):
    return weight * s[:, chosen].sum() - s[np.ix_(chosen, chosen)].sum()


FUNCTIONS = [(FacilityLocation, facility_location), (GraphCut, graph_cut)]


def plain_greedy(value, s, size):
    """Try every row at every step, from the definition, in double precision."""
    chosen, added = [], []
    for _ in range(size):
        now = value(s, chosen)
        gains = [-np.inf if i in chosen else value(s, [*chosen, i]) - now for i in range(len(s))]
        chosen.append(int(np.argmax(gains)))
        added.append(max(gains))
    return chosen, added


@pytest.mark.parametrize(("objective", "value"), FUNCTIONS)
@quick
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 6))
def test_lazy_greedy_is_greedy(objective, value, seed, n, dimension):
    features = np.random.default_rng(seed).standard_normal((n, dimension)).astype(np.float32)
    s = similarities(features)
    size = min(n, 6)
    chosen, added = lazy_greedy(objective(features), size)
    expected = plain_greedy(value, s, size)
    # where several rows add as much, rounding decides; what is reached is the same
    assert value(s, chosen.tolist()) == pytest.approx(value(s, expected[0]), rel=1e-5)
    np.testing.assert_allclose(added, expected[1], rtol=1e-4, atol=1e-4)
    assert len(set(chosen.tolist())) == size


@pytest.mark.parametrize(("objective", "value"), FUNCTIONS)
def test_gains_are_differences_of_the_function(objective, value, monkeypatch):
    monkeypatch.setattr(submodular_functions, "BLOCK", 70)
    features = np.random.default_rng(1).standard_normal((50, 6)).astype(np.float32)
    s, made = similarities(features), objective(features)
    np.testing.assert_allclose(made.first_gains(), [value(s, [i]) for i in range(50)], rtol=1e-5)
    chosen: list[int] = []
    for row in (3, 40, 17):
        made.pick(row)
        chosen.append(row)
        rest = np.setdiff1d(np.arange(50), chosen)
        expected = [value(s, [*chosen, i]) - value(s, chosen) for i in rest]
        np.testing.assert_allclose(made.gains(rest), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("objective", "rows", "gains"),
    [
        (
            FacilityLocation,
            [10, 111, 24, 103, 86, 61, 102, 32],
            [66.1729, 12.614, 6.0201, 2.9602, 2.5343, 2.1795, 2.0051, 1.6529],
        ),
        (
            GraphCut,
            [10, 57, 68, 62, 7, 67, 20, 96],
            [65.1729, 63.2534, 61.4515, 59.7555, 58.0229, 56.655, 55.1866, 54.0804],
        ),
    ],
)
def test_the_answers_of_apricot(objective, rows, gains):
    """Those of apricot-select 0.6.1, its naive optimiser on the precomputed similarities."""
    features = np.random.default_rng(7).standard_normal((120, 8)).astype(np.float32)
    chosen, added = lazy_greedy(objective(features), 8)
    assert chosen.tolist() == rows
    np.testing.assert_allclose(added, gains, atol=1e-3)


def test_graph_cuts_weight():
    features = np.random.default_rng(2).standard_normal((30, 4)).astype(np.float32)
    made = GraphCut(features, 3.0)
    made.pick(5)
    s = similarities(features)
    expected = graph_cut(s, [5, 9], 3.0) - graph_cut(s, [5], 3.0)
    assert made.gains(np.array([9]))[0] == pytest.approx(expected, rel=1e-5)


def test_three_bundles_have_one_row_each():
    centres = np.repeat(np.eye(3, dtype=np.float32), [20, 10, 5], axis=0)
    features = centres + 0.05 * np.random.default_rng(0).standard_normal((35, 3))
    chosen = lazy_greedy(FacilityLocation(features.astype(np.float32)), 3)[0]
    bundles = centres[chosen].argmax(axis=1).tolist()
    assert sorted(bundles) == [0, 1, 2]
    assert bundles[0] == 0  # the largest first


def test_duplicates_and_rows_of_zeros():
    features = np.zeros((9, 3), dtype=np.float32)
    features[:4, 0] = 1
    features[4:7, 1] = 2
    for objective in (FacilityLocation, GraphCut):
        chosen = lazy_greedy(objective(features), 9)[0]
        assert sorted(chosen.tolist()) == list(range(9))
    assert lazy_greedy(FacilityLocation(features), 2)[0].tolist() == [0, 4]


def test_few_gains_are_computed_again(monkeypatch):
    asked = []
    gains = FacilityLocation.gains
    monkeypatch.setattr(
        FacilityLocation, "gains", lambda self, rows: asked.append(len(rows)) or gains(self, rows)
    )
    # as texts of a class lie: about a common direction
    drawn = np.random.default_rng(0).standard_normal((3000, 32))
    features = (drawn + 3 * np.eye(32)[0]).astype(np.float32)
    lazy_greedy(FacilityLocation(features), 20)
    assert sum(asked) < 0.5 * 20 * 3000


def test_no_matrix_of_all_pairs():
    features = np.random.default_rng(0).standard_normal((4000, 16)).astype(np.float32)
    tracemalloc.start()
    lazy_greedy(FacilityLocation(features), 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.7 * 4000 * 4000 * 4


def test_smaller_budgets_are_prefixes_and_order_of_classes_is_kept():
    pool = toy_pool(2, per_class=12)
    for name in ("submodular", "submodular-graph-cut"):
        method = METHODS.build(name)
        large = method.distil(pool, Budget.dpc(6, 2), numpy_generator(0)).rows
        small = method.distil(pool, Budget.dpc(2, 2), numpy_generator(1)).rows
        assert small == large[:2] + large[6:8]
    with pytest.raises(InputError, match="weight is 0"):
        METHODS.build("submodular", {"weight": 0})
