"""One cell: its distilled sets, their means, and how alike the runs of one set are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Scores = ArrayLike | Sequence[ArrayLike]
"""``scores[set, seed]``, or one 1-D array per set where the numbers of runs differ."""

CONFIDENCE = 0.95
"""Level of every interval in this package."""

ROUNDING = 1e-12
"""Differences up to this size (times the scale of the scores, at least 1) are float noise.

Means of the same runs in another order can differ in the last bit. No test set has the 10^12
rows it would take for a real difference to be this small.
"""


@dataclass(frozen=True)
class CellSummary:
    """What a table prints for one cell.

    Attributes:
        mean: mean over all runs.
        std: standard deviation over all runs, ddof=0, as the papers report it.
        ci_low, ci_high: 95% t-interval on the set means; NaN with fewer than 2 sets. It is never
            clipped to the range of the metric: an interval that passes 0 or 1 says that there are
            too few sets for the t-approximation, and cutting it would hide that. With unequal
            numbers of runs per set it is centred on the mean of set means, not on `mean`.
        n_sets, n_runs: sets with at least one run; runs.
        icc: see :func:`icc`.
        design_effect: see :func:`design_effect`.
    """

    mean: float
    std: float
    ci_low: float
    ci_high: float
    n_sets: int
    n_runs: int
    icc: float
    design_effect: float


def runs_by_set(scores: Scores) -> list[np.ndarray]:
    """Return the runs of each distilled set, one 1-D float array per set; empty sets are dropped.

    This is the only place that decides what a cluster is. There is only one because intervals,
    tests, ICC and bootstrap must agree on it: were each to group runs by itself, one of them would
    one day count runs where the others count sets, and its small p-values would look like a find.

    Raises:
        ValueError: a set is not 1-D (a flat list of scores does not say which run belongs to
            which set), a score is NaN or infinite, or no run is left.
    """
    matrix = isinstance(scores, np.ndarray) and scores.ndim == 2 and scores.size
    if matrix and scores.dtype == np.float64 and np.isfinite(scores).all():
        return list(scores)  # as most cells are: there is nothing more to look for
    clusters = []
    for index, runs in enumerate(scores):
        values = np.asarray(runs, dtype=float)
        if values.ndim != 1:
            raise ValueError(
                f"scores must be [set, seed] or one 1-D array per set; set {index} has "
                f"{values.ndim} dimension(s)"
            )
        if not np.isfinite(values).all():
            raise ValueError(
                f"set {index} has a score that is NaN or infinite; leave failed runs out"
            )
        if values.size:
            clusters.append(values)
    if not clusters:
        raise ValueError("a cell without runs has no statistics")
    return clusters


def set_means(scores: Scores) -> np.ndarray:
    """Return the mean over seeds of each set, shape (n_sets,): the sample that tests are made on.

    Each set counts once, however many of its runs are done.
    """
    return _means(runs_by_set(scores))


def summarise(scores: Scores) -> CellSummary:
    """Summarise one cell: mean and std over runs, t-interval over sets, ICC, design effect."""
    clusters = runs_by_set(scores)
    runs = np.concatenate(clusters)
    means = _means(clusters)
    low, high = t_interval(means)
    correlation = _icc(clusters, means, runs)
    return CellSummary(
        mean=float(runs.mean()),
        std=float(np.sqrt(variance(runs, ddof=0))),
        ci_low=float(low),
        ci_high=float(high),
        n_sets=len(clusters),
        n_runs=runs.size,
        icc=correlation,
        design_effect=_design_effect(clusters, correlation),
    )


def t_interval(sample: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return (low, high) = mean -+ t(.975, n-1) * s / sqrt(n) along the last axis.

    Shape (..., n) gives two arrays of shape (...); NaN where n < 2.
    """
    from scipy.special import stdtrit

    sample = np.asarray(sample, dtype=float)
    n = sample.shape[-1]
    mean = sample.mean(axis=-1)
    if n < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance(sample) / n)
    return mean - half, mean + half


def icc(scores: Scores) -> float:
    """Return the share of the variance of a run that its distilled set explains, ICC(1).

    One-way random-effects ANOVA on k sets with n_i runs, N in all::

        ICC = (MSB - MSW) / (MSB + (n0 - 1) MSW),   n0 = (N - sum n_i^2 / N) / (k - 1)

    It estimates a share but can be negative (down to -1 / (n0 - 1)) by chance; it is not clipped,
    as that would push its average over cells upwards. NaN where it is not defined: fewer than
    2 sets, one run in every set, or all runs equal.

    Source: Shrout & Fleiss 1979, ICC(1,1); n0 for unequal sizes: Donner & Koval 1980.
    """
    clusters = runs_by_set(scores)
    return _icc(clusters, _means(clusters), np.concatenate(clusters))


def design_effect(scores: Scores) -> float:
    """Return how many times larger var(mean over runs) is than independent runs would have it.

    ``1 + (m - 1) ICC``, m the runs per set; n_runs / design_effect is the number of independent
    runs the cell is worth. With unequal sizes m = sum n_i^2 / N, which is exact for the mean over
    runs. It is 1 with one run per set, and NaN where the ICC is.

    Source: Kish 1965.
    """
    clusters = runs_by_set(scores)
    return _design_effect(clusters, icc(clusters))


def _means(clusters: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of each set, at once where all have as many runs."""
    if len({len(runs) for runs in clusters}) == 1:
        return np.array(clusters).mean(axis=1)
    return np.array([runs.mean() for runs in clusters])


def _icc(clusters: Sequence[np.ndarray], means: np.ndarray, runs: np.ndarray) -> float:
    sizes = np.array([len(c) for c in clusters])
    k, total = len(sizes), len(runs)
    if k < 2 or total == k or variance(runs) == 0:
        return float("nan")
    between = sizes @ (means - runs.mean()) ** 2 / (k - 1)
    within = ((runs - np.repeat(means, sizes)) ** 2).sum() / (total - k)
    n0 = (total - (sizes**2).sum() / total) / (k - 1)
    return float((between - within) / (between + (n0 - 1) * within))


def _design_effect(clusters: Sequence[np.ndarray], correlation: float) -> float:
    sizes = np.array([len(c) for c in clusters])
    m = (sizes**2).sum() / sizes.sum()
    return 1.0 if m == 1 else float(1 + (m - 1) * correlation)


def variance(sample: np.ndarray, ddof: int = 1) -> np.ndarray:
    """Return the sample variance along the last axis, exactly 0 where values are equal.

    Without the snap, twenty times 0.8 has a variance of 1e-32 and a t statistic of a billion.
    """
    spread = np.ptp(sample, axis=-1)
    scale = np.maximum(1, np.abs(sample).max(axis=-1))
    return np.where(spread <= ROUNDING * scale, 0.0, sample.var(axis=-1, ddof=ddof))


def difference_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a - b elementwise, exactly 0 where the two differ by float noise only."""
    scale = np.maximum(1, np.maximum(np.abs(a), np.abs(b)))
    return np.where(np.abs(a - b) <= ROUNDING * scale, 0.0, a - b)
