"""Intervals for aggregates over tasks: resample sets, then seeds within each sampled set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evaluators.statistics.sets import CONFIDENCE, Scores, runs_by_set, set_means


@dataclass(frozen=True)
class BootstrapResult:
    """An aggregate over tasks and its percentile interval.

    Attributes:
        estimate: the aggregate of the scores as they are.
        ci_low, ci_high: 2.5% and 97.5% quantiles of the resampled aggregates.
        standard_error: their standard deviation.
        n_resamples: how many there are.
        one_set_cells: cells with one set. Only their seeds vary, so if this is not 0 the interval
            leaves out a part of the set variance and is too narrow.
    """

    estimate: float
    ci_low: float
    ci_high: float
    standard_error: float
    n_resamples: int
    one_set_cells: int


def two_stage_bootstrap(
    cells: Sequence[Scores],
    other: Sequence[Scores] | None = None,
    *,
    rng: np.random.Generator,
    statistic: Literal["mean"] | Callable[..., np.ndarray] = "mean",
    n_resamples: int = 10_000,
) -> BootstrapResult:
    """Bootstrap the mean over tasks of one method's cells, or its lead over another method.

    In each resample, each cell draws as many sets as it has, with replacement, and each drawn set
    as many of its seeds as it has. The statistic turns the set means into the cell's score, and
    the aggregate is the mean over cells. Tasks are not resampled: the interval speaks of these
    tasks, not of tasks in general.

    Args:
        cells: one cell per task, `scores[set, seed]` or ragged.
        other: cells of a second method on the same tasks in the same order. The aggregate is then
            the mean over tasks of the difference; the two methods' sets are drawn independently,
            as set 3 of one has nothing in common with set 3 of the other.
        rng: the caller's generator; nothing here is random without it.
        statistic: "mean", or a reduction such as `np.median`, called as `f(means, axis=-1)` with
            set means of shape (n_resamples, n_sets).
        n_resamples: number of resamples.

    Drawing at both stages counts part of the seed variance twice, which widens the interval a
    little; with only a few sets per cell (`quick` has 3) it is too narrow nonetheless, as any
    percentile interval from 3 values is.

    Raises:
        ValueError: no cells, a malformed one, unequal numbers of tasks, n_resamples < 1 or an
            unknown statistic.
        TypeError: rng is not a numpy Generator.

    Source: Davison & Hinkley 1997, section 3.8 (nested data).
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy Generator, not {type(rng).__name__}")
    if n_resamples < 1:
        raise ValueError("n_resamples must be at least 1")
    if len(cells) == 0:
        raise ValueError("no cells to aggregate")
    if other is not None and len(other) != len(cells):
        raise ValueError(f"{len(cells)} cells against {len(other)}: methods are paired by task")
    if isinstance(statistic, str) and statistic != "mean":
        raise ValueError(f"statistic must be 'mean' or a callable, not {statistic!r}")
    reduce = np.mean if statistic == "mean" else statistic

    estimate, resampled, one_set = 0.0, np.zeros(n_resamples), 0
    for sign, method in ((1, cells), (-1, other or [])):
        for scores in method:
            clusters = runs_by_set(scores)
            one_set += len(clusters) == 1
            estimate += sign * float(reduce(set_means(clusters), axis=-1)) / len(cells)
            drawn = _resampled_means(clusters, n_resamples, rng)
            resampled += sign * reduce(drawn, axis=-1) / len(cells)
    low, high = percentile_interval(resampled)
    return BootstrapResult(
        estimate=estimate,
        ci_low=low,
        ci_high=high,
        standard_error=float(resampled.std()),
        n_resamples=n_resamples,
        one_set_cells=one_set,
    )


def resampled_scores(scores: Scores, *, rng: np.random.Generator, n_resamples: int) -> np.ndarray:
    """Return the score of one cell in each resample of its sets, then seeds, shape (n_resamples,).

    A page averages one cell in several ways (over tasks, less the reference); drawn once, the same
    resamples serve them all. Sum or subtract those of different cells, then take
    :func:`percentile_interval`: that is :func:`two_stage_bootstrap` in parts.

    Raises:
        ValueError: a malformed cell.
    """
    return _resampled_means(runs_by_set(scores), n_resamples, rng).mean(axis=-1)


def percentile_interval(resampled: np.ndarray) -> tuple[float, float]:
    """Return the 2.5% and 97.5% quantiles of resampled aggregates, shape (n_resamples,)."""
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _resampled_means(
    clusters: list[np.ndarray], n_resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Return set means of resampled sets with resampled seeds, shape (n_resamples, n_sets)."""
    sizes = np.array([len(runs) for runs in clusters])
    sets = rng.integers(len(sizes), size=(n_resamples, len(sizes)))
    if all(np.ptp(runs) == 0 for runs in clusters):
        # A deterministic learner: its seeds are all alike, whichever are drawn.
        return np.array([runs[0] for runs in clusters])[sets]
    if (sizes == sizes[0]).all():
        seeds = rng.integers(sizes[0], size=(*sets.shape, sizes[0]))
        seeds += sets[..., None] * sizes[0]
        return np.concatenate(clusters)[seeds].mean(axis=-1)
    padded = np.zeros((len(sizes), sizes.max()))
    for row, runs in zip(padded, clusters, strict=True):
        row[: len(runs)] = runs
    drawn_sizes = sizes[sets][..., None]
    seeds = rng.integers(drawn_sizes, size=(*sets.shape, sizes.max()))
    used = np.arange(sizes.max()) < drawn_sizes
    return (padded[sets[..., None], seeds] * used).sum(axis=-1) / drawn_sizes[..., 0]
