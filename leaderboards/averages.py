"""Averages over tasks: always over the same tasks for all methods of one column.

The reference decides which these are. A method that lacks one of them has no average and takes no
part in the ranks of the column: its own gaps change nobody else's figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmark.core.records import CellId
from evaluators.statistics import Rank
from leaderboards.families import ranked
from leaderboards.model import CellResult, Leaderboard, RowKey
from leaderboards.rounding import NOTHING, decimals, percent
from leaderboards.table import Entry, Table, entries


@dataclass(frozen=True, eq=False)
class Column:
    """One learner at one DPC, over the tasks that the reference has.

    `scored` counts the tasks of a row that have scores, these or others. `cells` holds, for each
    row that has all of these tasks, one cell a task, and `ranks` the ranks of these among the rows
    in `cells`, for each row that has a rank on every task.
    """

    learner: str
    dpc: str
    tasks: tuple[str, ...]
    scored: Mapping[RowKey, int]
    cells: Mapping[RowKey, tuple[CellResult, ...]]
    ranks: Mapping[RowKey, tuple[Rank, ...]]

    def places(self, key: RowKey) -> tuple[float, float]:
        """Return the first and the last place that the data leave open, as means over tasks.

        NaN for a row that is not ranked on every task.
        """
        if key not in self.ranks:
            return float("nan"), float("nan")
        first, last = np.mean([rank.interval for rank in self.ranks[key]], axis=0)
        return float(first), float(last)


def columns(board: Leaderboard) -> list[Column]:
    """Return the averages there are, by learner, then DPC.

    With `--ratio` every task has a DPC of its own, and an average over one task of many is none:
    a DPC that fewer than half of the tasks have is left out.
    """
    having = {dpc: {c.id.task for c in board.cells if c.id.dpc == dpc} for dpc in board.dpcs}
    shared = [dpc for dpc in board.dpcs if 2 * len(having[dpc]) >= len(board.tasks)]
    made = [column_of(board, learner, dpc) for learner in board.learners for dpc in shared]
    return [one for one in made if one is not None]


def column_of(
    board: Leaderboard, learner: str, dpc: str, tasks: Iterable[str] | None = None
) -> Column | None:
    """Return what is averaged at a learner and DPC; None where no row has all of the tasks."""
    tasks = board.tasks if tasks is None else list(tasks)
    found: dict[RowKey, dict[str, CellResult]] = {}
    for key in [*board.rows, *board.full_rows]:
        at = "0" if key in board.full_rows and key not in board.rows else dpc
        cells = {task: board.cell(task, learner, at, key) for task in tasks}
        found[key] = {task: cell for task, cell in cells.items() if cell and cell.summary}
    budgeted = {key: set(found[key]) for key in board.rows if found[key]}
    reference = next((key for key in budgeted if board.labels[key] == board.reference), None)
    shared = shared_tasks(tasks, budgeted, reference)
    complete = {
        key: tuple(cells[task] for task in shared)
        for key, cells in found.items()
        if cells.keys() >= set(shared)
    }
    members = [key for key in budgeted if key in complete]
    if not shared or not members:
        return None
    return Column(
        learner=learner,
        dpc=dpc,
        tasks=tuple(shared),
        scored={key: len(cells) for key, cells in found.items()},
        cells=complete,
        ranks=_ranks({key: complete[key] for key in members}, found, shared),
    )


def shared_tasks(
    tasks: Iterable[str], having: Mapping[RowKey, set[str]], reference: RowKey | None
) -> list[str]:
    """Return the tasks that a column is over: those of the reference, else of half of the rows."""
    if reference in having:
        return [task for task in tasks if task in having[reference]]
    counts = {task: sum(task in has for has in having.values()) for task in tasks}
    return [task for task, count in counts.items() if count and 2 * count >= len(having)]


def column_ranks(board: Leaderboard) -> dict[CellId, Rank]:
    """Return the ranks within their column of cells in whose family these are others."""
    return {
        cell.id: rank
        for one in columns(board)
        for key, ranks in one.ranks.items()
        for cell, rank in zip(one.cells[key], ranks, strict=True)
        if rank != cell.rank
    }


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
            entries(board.labels[key], *(e for c in mine for e in (mean_entry(c, key), "", "")))
            for key in board.full_rows
            if any(c.scored[key] for c in mine)
        ]
        tables.append(Table(learner, ("method", *head), (*rows, *feet), feet=len(feet)))
    return tables


def mean_entry(one: Column, key: RowKey) -> Entry:
    """Return a row's mean over the tasks of a column, or how many tasks it has if not all."""
    if cells := one.cells.get(key):
        value = float(np.mean([cell.mean for cell in cells]))
        return Entry(percent(value), partial=any(c.status != "ok" for c in cells), value=value)
    return lacking(one.scored[key])


def lacking(scored: int) -> Entry:
    """Return what stands for a row that lacks tasks of a column; blank if it has none at all."""
    return Entry(f"{NOTHING} ({count_of(scored)})" if scored else "")


def places_text(first: float, last: float) -> str:
    """Say from which to which place a row is on average."""
    return NOTHING if np.isnan(first) else f"{decimals(first, 1)} to {decimals(last, 1)}"


def scored_tasks(board: Leaderboard) -> list[str]:
    """Return the tasks of which anything has a score."""
    scored = {cell.id.task for cell in board.cells if cell.summary is not None}
    return [task for task in board.tasks if task in scored]


def count_of(tasks: int) -> str:
    """Say a number of tasks."""
    return f"{tasks} task{'s' * (tasks != 1)}"


def _ranks(
    members: Mapping[RowKey, tuple[CellResult, ...]],
    found: Mapping[RowKey, Mapping[str, CellResult]],
    tasks: list[str],
) -> dict[RowKey, tuple[Rank, ...]]:
    """Return the ranks among the members, tested anew where their family has a row that is none."""
    by_task = []
    for place, task in enumerate(tasks):
        cells = {key: of_row[place] for key, of_row in members.items()}
        others = [key for key in found if key not in members and task in found[key]]
        strangers = any(found[key][task].id.dpc != "0" for key in others)
        by_task.append(ranked(cells) if strangers else {k: c.rank for k, c in cells.items()})
    return {
        key: tuple(ranks[key] for ranks in by_task)
        for key in members
        if all(ranks[key].rank is not None for ranks in by_task)
    }


def _fewer(board: Leaderboard, one: Column) -> str:
    """Say for a heading how many tasks a column is over, if not over all with scores."""
    number = len(one.tasks)
    return "" if number == len(scored_tasks(board)) else f" ({count_of(number)})"


def _summary(one: Column, key: RowKey) -> tuple[Entry, Entry, Entry]:
    cells = one.cells.get(key, ())
    first, last = one.places(key)
    tested = [c.comparison for c in cells if c.comparison and not np.isnan(c.comparison.p_holm)]
    better = sum(test.direction == "better" for test in tested)
    worse = sum(test.direction == "worse" for test in tested)
    counts = f"{better} / {len(tested) - better - worse} / {worse}" if tested else ""
    return (
        mean_entry(one, key),
        Entry(places_text(first, last) if cells else "", value=None if np.isnan(first) else first),
        Entry(counts, value=float(better - worse) if tested else None),
    )
