"""Welch's t-test: on set means, which decides, and on pooled runs, which the papers publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from evaluators.statistics.sets import (
    CONFIDENCE,
    Scores,
    difference_of,
    runs_by_set,
    set_means,
    variance,
)


@dataclass(frozen=True)
class Welch:
    """A two-sided Welch test of mean(a) = mean(b).

    Floats, or arrays of one shape where many tests were made at once.

    Attributes:
        difference: mean(a) - mean(b).
        t, df, p: the statistic, its Welch-Satterthwaite degrees of freedom, the p-value.
        ci_low, ci_high: 95% interval of the difference.
    """

    difference: float | np.ndarray
    t: float | np.ndarray
    df: float | np.ndarray
    p: float | np.ndarray
    ci_low: float | np.ndarray
    ci_high: float | np.ndarray


def welch(a: ArrayLike, b: ArrayLike) -> Welch:
    """Test mean(a) = mean(b) along the last axis, without assuming equal variances.

    Args:
        a, b: samples of shape (..., n_a) and (..., n_b); a simulation passes (reps, n).

    All but the difference is NaN where a sample has fewer than 2 values. Where neither sample
    varies there is nothing to test with, and the samples decide: equal means give t = 0, p = 1,
    different means t = +-inf, p = 0; df is NaN and the interval is the difference itself.

    Source: Welch 1947.
    """
    from scipy.special import stdtrit
    from scipy.stats import ttest_ind_from_stats

    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    n_a, n_b = a.shape[-1], b.shape[-1]
    mean_a, mean_b = a.mean(axis=-1), b.mean(axis=-1)
    difference = difference_of(mean_a, mean_b)
    if min(n_a, n_b) < 2:
        nan = np.full_like(difference, np.nan)
        return _plain(difference, nan, nan, nan, nan, nan)

    var_a, var_b = variance(a), variance(b)
    part_a, part_b = var_a / n_a, var_b / n_b
    error = np.sqrt(part_a + part_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (part_a + part_b) ** 2 / (part_a**2 / (n_a - 1) + part_b**2 / (n_b - 1))
        t, p = ttest_ind_from_stats(
            mean_a, np.sqrt(var_a), n_a, mean_b, np.sqrt(var_b), n_b, equal_var=False
        )
        half = stdtrit(df, (1 + CONFIDENCE) / 2) * error

    constant = error == 0
    equal = difference == 0
    t = np.where(constant, np.where(equal, 0.0, np.copysign(np.inf, difference)), t)
    p = np.where(constant, np.where(equal, 1.0, 0.0), p)
    half = np.where(constant, 0.0, half)
    return _plain(difference, t, df, p, difference - half, difference + half)


def welch_sets(a: Scores, b: Scores) -> Welch:
    """Test two cells on their set means: the p-value that decides stars and ranks.

    NaN (but for the difference) where a cell has fewer than 2 sets: one set has no set variance,
    and no number of seeds on it can say how another set would do.
    """
    return welch(set_means(a), set_means(b))


def welch_runs(a: Scores, b: Scores) -> Welch:
    """Test two cells as if all runs were independent, as the papers publish it.

    Only for comparison with published tables: p is too small whenever runs on one set are alike.
    """
    return welch(np.concatenate(runs_by_set(a)), np.concatenate(runs_by_set(b)))


def welch_pairs(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> list[Welch]:
    """Test a[0] against b[0], a[1] against b[1] and so on, all at once where sizes are equal.

    The p-values are those of :func:`welch`, one by one; a page makes thousands of tests.
    """
    if len({len(sample) for sample in a}) != 1 or len({len(sample) for sample in b}) != 1:
        return [welch(x, y) for x, y in zip(a, b, strict=True)]
    many = welch(np.array(a), np.array(b))
    columns = [getattr(many, name).tolist() for name in Welch.__dataclass_fields__]
    return [Welch(*figures) for figures in zip(*columns, strict=True)]


def _plain(*values: np.ndarray) -> Welch:
    """Build the result, with Python floats where a single test was made."""
    return Welch(*(v.item() if np.ndim(v) == 0 else v for v in map(np.asarray, values)))
