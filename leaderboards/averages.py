"""Averages over tasks: always over the same tasks for all methods of one column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmark.core.seeding import numpy_generator, seed_of
from evaluators.statistics import friedman, two_stage_bootstrap
from evaluators.statistics.across_tasks import MIN_TASKS
from leaderboards.model import CellResult, Leaderboard, RowKey
from leaderboards.rounding import NOTHING, decimals, p_value, percent
from leaderboards.table import Entry, Table, entries

RESAMPLES = 1000
"""Of a bootstrap: its noise in a 95% bound is a tenth of the standard error."""


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
            for what in (f"mean{_fewer(board, c)}", "rank", "+ / = / −")
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


def across_learners(board: Leaderboard, averages: list[Column]) -> list[Table]:
    """Return for each DPC: methods by learners, the average and its bootstrap interval."""
    tables = []
    for dpc in board.dpcs:
        mine = [c for c in averages if c.dpc == dpc]
        body = [key for key in board.rows if any(c.scored[key] for c in mine)]
        feet = [key for key in board.full_rows if any(c.scored[key] for c in mine)]
        if not body:
            continue
        rows = [
            entries(board.labels[key], *(_interval(board.suite, c, key) for c in mine))
            for key in [*body, *feet]
        ]
        header = ("method", *(f"{c.learner}{_fewer(board, c)}" for c in mine))
        tables.append(Table(f"DPC {dpc}", header, tuple(rows), feet=len(feet)))
    return tables


def rank_table(board: Leaderboard, averages: list[Column]) -> Table | None:
    """Return Friedman tests and critical differences, where there are ten tasks and 3 methods."""
    rows = []
    for one in averages:
        methods = [key for key in board.rows if key in one.cells]
        if len(one.tasks) < MIN_TASKS or len(methods) < 3:
            continue
        test = friedman(
            {
                task: {key: one.cells[key][place].mean for key in methods}
                for place, task in enumerate(one.tasks)
            }
        )
        names = board.labels
        order = ", ".join(f"{names[k]} {decimals(r, 2)}" for k, r in test.average_ranks.items())
        tied = "; ".join(" = ".join(names[k] for k in group) for group in test.groups)
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
    return "" if len(one.tasks) == len(scored) else f" ({len(one.tasks)} tasks)"


def _mean(one: Column, key: RowKey) -> Entry:
    if cells := one.cells.get(key):
        value = float(np.mean([cell.mean for cell in cells]))
        return Entry(percent(value), partial=any(c.status != "ok" for c in cells), value=value)
    return Entry(f"{NOTHING} ({one.scored[key]} tasks)" if one.scored[key] else "")


def _summary(one: Column, key: RowKey) -> tuple[Entry, Entry, Entry]:
    cells = one.cells.get(key, ())
    ranks = [cell.rank.rank for cell in cells if cell.rank.rank is not None]
    rank = float(np.mean(ranks)) if ranks and len(ranks) == len(cells) else float("nan")
    tested = [c.comparison for c in cells if c.comparison and not np.isnan(c.comparison.p_holm)]
    better = sum(test.direction == "better" for test in tested)
    worse = sum(test.direction == "worse" for test in tested)
    counts = f"{better} / {len(tested) - better - worse} / {worse}" if tested else ""
    return (
        _mean(one, key),
        Entry(decimals(rank, 1) if cells else "", value=rank if ranks else None),
        Entry(counts, value=float(better - worse) if tested else None),
    )


def _interval(suite: str, one: Column, key: RowKey) -> Entry:
    entry, cells = _mean(one, key), one.cells.get(key, ())
    if not cells or any(len(cell.scores) < 2 for cell in cells):
        return entry
    method, params = key
    seed = seed_of(
        "leaderboard interval",
        suite=suite, method=method, params=params, learner=one.learner, dpc=one.dpc,
    )  # fmt: skip
    result = two_stage_bootstrap(
        [cell.scores for cell in cells], rng=numpy_generator(seed), n_resamples=RESAMPLES
    )
    bounds = f"({percent(result.ci_low)} to {percent(result.ci_high)})"
    return Entry(f"{entry.text} {bounds}", partial=entry.partial, value=entry.value)
