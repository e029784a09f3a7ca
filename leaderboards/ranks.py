"""Ranks over tasks: Friedman's test, and what a critical-difference diagram shows."""

from __future__ import annotations

from collections.abc import Sequence

from evaluators.statistics import Friedman, friedman
from evaluators.statistics.across_tasks import MIN_TASKS
from leaderboards.averages import Column
from leaderboards.model import Leaderboard
from leaderboards.rounding import decimals, p_value
from leaderboards.table import Table, entries

SAME_SENTENCES = ("sst2", "sst5", "rotten-tomatoes", "rotten-tomatoes-carved")
"""Tasks of the same film reviews: SST labels the sentences of rotten-tomatoes anew."""


def rank_tests(board: Leaderboard, averages: Sequence[Column]) -> list[tuple[Column, Friedman]]:
    """Return Friedman's test of each column that has ten tasks and three methods with a rank.

    Methods with one set or with runs missing are neither tested nor ranked elsewhere on the page,
    and so not here. The methods in the result are the labels of their rows.
    """
    found = []
    for one in averages:
        methods = [key for key in board.rows if key in one.ranks]
        if len(one.tasks) < MIN_TASKS or len(methods) < 3:
            continue
        scores = {
            task: {board.labels[key]: one.cells[key][place].mean for key in methods}
            for place, task in enumerate(one.tasks)
        }
        found.append((one, friedman(scores)))
    return found


def rank_table(tests: Sequence[tuple[Column, Friedman]]) -> Table | None:
    """Return Friedman tests and critical differences, where there are any."""
    rows = []
    for one, test in tests:
        order = ", ".join(f"{name} {decimals(r, 2)}" for name, r in test.average_ranks.items())
        tied = "; ".join(" = ".join(group) for group in test.groups)
        rows.append(
            entries(one.learner, one.dpc, order, tied or "none")
            + entries(str(test.n_tasks), p_value(test.p), decimals(test.critical_difference, 2))
        )
    header = ("learner", "DPC", "average ranks", "not told apart", "tasks", "Friedman p", "CD")
    return Table("", header, tuple(rows), left=4) if rows else None


def rank_sentence(tests: Sequence[tuple[Column, Friedman]]) -> str:
    """Say what the test takes for granted, and what no correction is made for."""
    tasks = dict.fromkeys(task for one, _ in tests for task in one.tasks)
    alike = [task for task in tasks if task in SAME_SENTENCES]
    said = "Tasks count as independent blocks"
    if len(alike) > 1:
        said += f", though {', '.join(alike)} share sentences, so the test is surer than it may be"
    several = f"; the {len(tests)} diagrams are not corrected for their number"
    return f"{said}{several if len(tests) > 1 else ''}."
