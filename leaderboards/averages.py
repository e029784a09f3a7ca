"""Averages over tasks: always over the same tasks for all methods of one column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluators.statistics import Friedman, friedman
from evaluators.statistics.across_tasks import MIN_TASKS
from leaderboards.model import CellResult, Leaderboard, RowKey
from leaderboards.resamples import Resamples
from leaderboards.rounding import NOTHING, decimals, p_value, percent
from leaderboards.table import Entry, Table, entries


@dataclass(frozen=True, eq=False)
class Column:
    """One learner at one DPC, over the tasks that its methods have in common.

    `cells` holds, for each row that has all of these tasks, one cell a task. A row that has fewer
    than half of the tasks with scores neither counts for what is common nor has an average.
    """

    learner: str
    dpc: str
    tasks: tuple[str, ...]
    scored: Mapping[RowKey, int]
    cells: Mapping[RowKey, tuple[CellResult, ...]]


def columns(board: Leaderboard) -> list[Column]:
    """Return the averages there are, by learner, then DPC.

    With `--ratio` every task has a DPC of its own, and an average over one task of many is none:
    a DPC that fewer than half of the tasks have is left out.
    """
    having = {dpc: {c.id.task for c in board.cells if c.id.dpc == dpc} for dpc in board.dpcs}
    shared = [dpc for dpc in board.dpcs if 2 * len(having[dpc]) >= len(board.tasks)]
    made = [_column(board, learner, dpc) for learner in board.learners for dpc in shared]
    return [one for one in made if one is not None]


def summary_tables(board: Leaderboard, averages: list[Column]) -> list[Table]:
    """Return for each learner: average score, mean rank, and counts against the reference."""
    tables = []
    for learner in board.learners:
        mine = [c for c in averages if c.learner == learner]
        if not mine:
            continue
        head = [
            f"DPC {c.dpc}\n{what}"
            for c in mine
            for what in (f"mean{_fewer(board, c)}", "places", "+ / = / −")
        ]
        rows = [
            entries(board.labels[key], *(e for c in mine for e in _summary(c, key)))
            for key in board.rows
            if any(c.scored[key] for c in mine)
        ]
        feet = [
            entries(board.labels[key], *(e for c in mine for e in (_mean(c, key), "", "")))
            for key in board.full_rows
            if any(c.scored[key] for c in mine)
        ]
        tables.append(Table(learner, ("method", *head), (*rows, *feet), feet=len(feet)))
    return tables


def across_learners(
    board: Leaderboard, averages: list[Column], resamples: Resamples
) -> list[Table]:
    """Return for each DPC: methods by learners, the average and its bootstrap interval."""
    tables = []
    for dpc in board.dpcs:
        mine = [c for c in averages if c.dpc == dpc]
        body = [key for key in board.rows if any(c.scored[key] for c in mine)]
        feet = [key for key in board.full_rows if any(c.scored[key] for c in mine)]
        if not body:
            continue
        rows = [
            entries(board.labels[key], *(_interval(c, key, resamples) for c in mine))
            for key in [*body, *feet]
        ]
        header = ("method", *(f"{c.learner}{_fewer(board, c)}" for c in mine))
        tables.append(Table(f"DPC {dpc}", header, tuple(rows), feet=len(feet)))
    return tables


def rank_tests(board: Leaderboard, averages: list[Column]) -> list[tuple[Column, Friedman]]:
    """Return Friedman's test of each column that has ten tasks and three methods.

    The methods in the result are the labels of their rows.
    """
    found = []
    for one in averages:
        methods = [key for key in board.rows if key in one.cells]
        if len(one.tasks) < MIN_TASKS or len(methods) < 3:
            continue
        scores = {
            task: {board.labels[key]: one.cells[key][place].mean for key in methods}
            for place, task in enumerate(one.tasks)
        }
        found.append((one, friedman(scores)))
    return found


def rank_table(tests: list[tuple[Column, Friedman]]) -> Table | None:
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


def _column(board: Leaderboard, learner: str, dpc: str) -> Column | None:
    """Return what is averaged at a learner and DPC; None where no task is common."""
    found: dict[RowKey, dict[str, CellResult]] = {}
    for key in [*board.rows, *board.full_rows]:
        at = "0" if key in board.full_rows and key not in board.rows else dpc
        cells = {task: board.cell(task, learner, at, key) for task in board.tasks}
        found[key] = {task: cell for task, cell in cells.items() if cell and cell.summary}
    budgeted = [set(found[key]) for key in board.rows if found[key]]
    total = len(set().union(*budgeted))
    common = [tasks for tasks in budgeted if 2 * len(tasks) >= total]
    tasks = [task for task in board.tasks if common and all(task in has for has in common)]
    if not tasks:
        return None
    return Column(
        learner=learner,
        dpc=dpc,
        tasks=tuple(tasks),
        scored={key: len(cells) for key, cells in found.items()},
        cells={
            key: tuple(cells[task] for task in tasks)
            for key, cells in found.items()
            if cells.keys() >= set(tasks)
        },
    )


def _fewer(board: Leaderboard, one: Column) -> str:
    """Say for a heading how many tasks a column is over, if not over all with scores."""
    scored = {cell.id.task for cell in board.cells if cell.summary is not None}
    return "" if len(one.tasks) == len(scored) else f" ({_tasks(len(one.tasks))})"


def _mean(one: Column, key: RowKey) -> Entry:
    if cells := one.cells.get(key):
        value = float(np.mean([cell.mean for cell in cells]))
        return Entry(percent(value), partial=any(c.status != "ok" for c in cells), value=value)
    return Entry(f"{NOTHING} ({_tasks(one.scored[key])})" if one.scored[key] else "")


def mean_places(cells: Sequence[CellResult]) -> tuple[float, float]:
    """Return the first and the last place that the data leave open, as means over cells.

    NaN where a cell is not ranked.
    """
    if not cells or any(cell.rank.rank is None for cell in cells):
        return float("nan"), float("nan")
    first, last = np.mean([cell.rank.interval for cell in cells], axis=0)
    return float(first), float(last)


def _summary(one: Column, key: RowKey) -> tuple[Entry, Entry, Entry]:
    cells = one.cells.get(key, ())
    first, last = mean_places(cells)
    ranked = not np.isnan(first)
    tested = [c.comparison for c in cells if c.comparison and not np.isnan(c.comparison.p_holm)]
    better = sum(test.direction == "better" for test in tested)
    worse = sum(test.direction == "worse" for test in tested)
    counts = f"{better} / {len(tested) - better - worse} / {worse}" if tested else ""
    places = f"{decimals(first, 1)} to {decimals(last, 1)}" if ranked else NOTHING
    return (
        _mean(one, key),
        Entry(places if cells else "", value=first if ranked else None),
        Entry(counts, value=float(better - worse) if tested else None),
    )


def _interval(one: Column, key: RowKey, resamples: Resamples) -> Entry:
    entry, bounds = _mean(one, key), resamples.interval(one.cells.get(key, ()))
    if bounds is None:
        return entry
    text = f"{entry.text} ({percent(bounds[0])} to {percent(bounds[1])})"
    return Entry(text, partial=entry.partial, value=entry.value)


def _tasks(count: int) -> str:
    return f"{count} task{'s' * (count != 1)}"
