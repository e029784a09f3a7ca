"""Statistics made many at once are those made one by one, and parts are the whole."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.statistics import (
    aggregate_interval,
    icc,
    resampled_scores,
    summarise,
    two_stage_bootstrap,
    welch,
)
from evaluators.statistics.welch import welch_pairs


@pytest.mark.parametrize("sizes", [(20, 20), (20, 7), (2, 2), (1, 5)])
def test_many_welch_tests_are_the_single_ones(sizes) -> None:
    rng = np.random.default_rng(0)
    a = [rng.normal(size=sizes[0]) for _ in range(12)]
    b = [rng.normal(0.5, 2, size=sizes[1]) for _ in range(12)]
    a[3][:], b[3][:] = 0.5, 0.5  # nothing varies: equal, and different
    a[4][:], b[4][:] = 0.5, 0.25
    for many, x, y in zip(welch_pairs(a, b), a, b, strict=True):
        one = welch(x, y)
        for name in ("difference", "t", "df", "p", "ci_low", "ci_high"):
            assert np.array_equal(getattr(many, name), getattr(one, name), equal_nan=True)


def test_samples_of_unequal_sizes_are_tested_one_by_one() -> None:
    rng = np.random.default_rng(1)
    a = [rng.normal(size=size) for size in (5, 9, 1)]
    b = [rng.normal(size=6)] * 3
    for many, x in zip(welch_pairs(a, b), a, strict=True):
        assert np.array_equal(many.p, welch(x, b[0]).p, equal_nan=True)
    assert welch_pairs([], []) == []


def test_a_matrix_and_a_list_of_its_rows_are_one_cell() -> None:
    scores = np.random.default_rng(2).normal(0.7, 0.1, size=(20, 5))
    assert summarise(scores) == summarise(list(scores)) == summarise(scores.tolist())
    ragged = [scores[0][:3], *scores[1:]]
    assert summarise(ragged).icc == pytest.approx(icc(ragged))
    for bad in (np.nan, np.inf):
        broken = scores.copy()
        broken[3, 2] = bad
        with pytest.raises(ValueError, match="set 3 has a score that is NaN or infinite"):
            summarise(broken)
    with pytest.raises(ValueError, match="without runs"):
        summarise(np.zeros((0, 5)))


def test_resamples_of_cells_add_up_to_the_bootstrap_of_their_mean() -> None:
    rng = np.random.default_rng(3)
    cells = [rng.normal(mean, 0.1, size=(20, 5)) for mean in (0.5, 0.7, 0.6)]
    whole = two_stage_bootstrap(cells, rng=np.random.default_rng(4), n_resamples=4000)
    draws = np.random.default_rng(5)
    parts = [resampled_scores(cell, rng=draws, n_resamples=4000) for cell in cells]
    low, high = aggregate_interval(np.mean(parts, axis=0), cells)
    assert low == pytest.approx(whole.ci_low, abs=0.004)
    assert high == pytest.approx(whole.ci_high, abs=0.004)
    assert np.mean(parts) == pytest.approx(whole.estimate, abs=0.002)


@pytest.mark.parametrize("ragged", [False, True])
def test_equal_seeds_leave_the_spread_of_the_sets_alone(ragged) -> None:
    means = np.random.default_rng(6).normal(0.7, 0.1, size=20)
    cell = [np.full(3 + (ragged and row % 2), mean) for row, mean in enumerate(means)]
    found = resampled_scores(cell, rng=np.random.default_rng(7), n_resamples=8000)
    assert found.std() == pytest.approx(means.std(ddof=1) / np.sqrt(20), rel=0.05)
    assert set(
        np.round(resampled_scores(cell[:1], rng=np.random.default_rng(0), n_resamples=9), 9)
    ) == {round(means[0], 9)}
