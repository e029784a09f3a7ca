"""Many tasks, one score per method and task: Friedman, critical difference, rank correlation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluators.statistics.family import ALPHA

MIN_TASKS = 10
"""Below this many tasks the tests here have next to no power and only describe."""


@dataclass(frozen=True)
class Friedman:
    """A Friedman test and what a critical-difference diagram draws.

    Attributes:
        statistic, p: chi-square of the Friedman test and its p-value.
        average_ranks: method -> mean rank over tasks, 1 the best, best method first.
        critical_difference: two average ranks further apart than this differ (Nemenyi, 0.05).
        groups: the diagram's bars, maximal runs of at least 2 methods, best first, whose average
            ranks span no more than the critical difference.
        n_tasks: number of tasks.
        descriptive_only: fewer than 10 tasks; print it, conclude nothing from it.
    """

    statistic: float
    p: float
    average_ranks: dict[str, float]
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]
    n_tasks: int
    descriptive_only: bool


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau-b, its two-sided p-value and the number of methods behind it."""

    tau: float
    p: float
    n_methods: int


def friedman(scores_by_task: Mapping[str, Mapping[str, float]]) -> Friedman:
    """Test whether any method ranks better than another over the tasks.

    Args:
        scores_by_task: task -> method -> score (a cell's mean), the same methods on each task.

    Where all methods tie on all tasks the statistic is 0 and p is 1.

    Raises:
        ValueError: fewer than 2 tasks or 3 methods, a method missing on a task (the two are
            named), or a score that is not finite.

    Source: Friedman 1937, Demsar 2006; scipy.stats.friedmanchisquare.
    """
    from scipy.stats import friedmanchisquare, rankdata

    tasks = list(scores_by_task)
    methods = list(scores_by_task[tasks[0]]) if tasks else []
    if len(tasks) < 2 or len(methods) < 3:
        raise ValueError(
            f"Friedman needs 2 tasks and 3 methods, not {len(tasks)} and {len(methods)}"
        )
    for task in tasks:
        if odd := set(methods) ^ set(scores_by_task[task]):
            raise ValueError(f"{sorted(odd)} not scored on both {tasks[0]!r} and {task!r}")
    scores = np.array([[scores_by_task[t][m] for m in methods] for t in tasks], dtype=float)
    if not np.isfinite(scores).all():
        raise ValueError("a score is NaN or infinite")

    scores = scores.round(12)  # means that differ by float noise only are ties
    tied = bool((scores == scores[:, :1]).all())
    statistic, p = (0.0, 1.0) if tied else friedmanchisquare(*scores.T)
    mean_ranks = rankdata(-scores, axis=1).mean(axis=0)
    order = np.argsort(mean_ranks, kind="stable")
    average_ranks = {methods[i]: float(mean_ranks[i]) for i in order}
    width = critical_difference(len(methods), len(tasks))
    return Friedman(
        statistic=float(statistic),
        p=float(p),
        average_ranks=average_ranks,
        critical_difference=width,
        groups=_groups(average_ranks, width),
        n_tasks=len(tasks),
        descriptive_only=len(tasks) < MIN_TASKS,
    )


def critical_difference(n_methods: int, n_tasks: int, alpha: float = ALPHA) -> float:
    """Return Nemenyi's critical difference of average ranks over n_tasks.

    ``CD = q / sqrt(2) * sqrt(k (k + 1) / (6 N))``, q the studentized range quantile for k methods
    and infinite degrees of freedom.

    Raises:
        ValueError: fewer than 2 methods or no task.

    Source: Nemenyi 1963, Demsar 2006.
    """
    from scipy.stats import studentized_range

    if n_methods < 2 or n_tasks < 1:
        raise ValueError("a critical difference needs 2 methods and 1 task")
    q = studentized_range.ppf(1 - alpha, n_methods, np.inf)
    return float(q / np.sqrt(2) * np.sqrt(n_methods * (n_methods + 1) / (6 * n_tasks)))


def rank_correlation(a: Mapping[str, float], b: Mapping[str, float]) -> RankCorrelation:
    """Return Kendall's tau-b of two rankings of the same methods: does the order carry over?

    Args:
        a, b: method -> rank, or both method -> score. They are matched by name; tau-b allows ties.

    NaN with fewer than 2 methods or where a ranking is one single tie.

    Raises:
        ValueError: different methods (they are named), or a value that is missing or not finite.

    Source: Kendall 1945, by scipy.stats.kendalltau.
    """
    from scipy.stats import kendalltau

    if odd := set(a) ^ set(b):
        raise ValueError(f"only one of the two rankings has {sorted(odd)}")
    x, y = (np.array([ranking[name] for name in a], dtype=float) for ranking in (a, b))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("a rank is missing or not finite; leave unranked methods out of both")
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankCorrelation(float("nan"), float("nan"), len(x))
    tau, p = kendalltau(x, y)
    return RankCorrelation(float(tau), float(p), len(x))


def _groups(average_ranks: dict[str, float], width: float) -> tuple[tuple[str, ...], ...]:
    """Return the maximal runs of methods, best first, whose ranks span at most `width`."""
    names, ranks = list(average_ranks), np.array(list(average_ranks.values()))
    ends = np.searchsorted(ranks, ranks + width, side="right")
    groups, reached = [], 0
    for start, end in enumerate(ends):
        if end - start > 1 and end > reached:
            groups.append(tuple(names[start:end]))
            reached = end
    return tuple(groups)
