"""Methods by learners: of one table all learners are compared on the same tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from leaderboards.averages import Column, column_of, mean_entry, scored_tasks
from leaderboards.model import Leaderboard, RowKey
from leaderboards.resamples import Resamples
from leaderboards.rounding import percent
from leaderboards.scores import is_wide
from leaderboards.table import Entry, Table, entries


def across_learners(
    board: Leaderboard, averages: Sequence[Column], resamples: Resamples
) -> list[Table]:
    """Return for each DPC: methods by learners, the average and its interval.

    Learners that have other tasks stand in a table of their own, whose title names these. A suite
    that is not wide and in which a learner or a method lacks a task has a table for each task.
    """
    tables = []
    for group in _groups(board, averages):
        body = [key for key in board.rows if any(c.scored[key] for c in group)]
        feet = [key for key in board.full_rows if any(c.scored[key] for c in group)]
        rows = [
            entries(board.labels[key], *(_interval(c, key, resamples) for c in group))
            for key in [*body, *feet]
        ]
        header = ("method", *(c.learner for c in group))
        title = f"DPC {group[0].dpc}{_named(board, group[0].tasks)}"
        tables.append(Table(title, header, tuple(rows), feet=len(feet)))
    return tables


def one_by_one(board: Leaderboard, averages: Sequence[Column]) -> bool:
    """Tell whether each task has a table: a learner or a method of a small suite lacks some."""
    lacking = [key for c in averages for key in board.rows if c.scored[key] and key not in c.cells]
    return not is_wide(board) and (bool(lacking) or len({c.tasks for c in averages}) > 1)


def _groups(board: Leaderboard, averages: Sequence[Column]) -> Iterator[list[Column]]:
    """Yield the columns of each table, those over more tasks first."""
    each_alone = one_by_one(board, averages)
    for dpc in board.dpcs:
        mine = [c for c in averages if c.dpc == dpc]
        if each_alone:
            for task in board.tasks:
                made = [column_of(board, c.learner, dpc, [task]) for c in mine]
                if columns := [c for c in made if c is not None]:
                    yield columns
            continue
        by_tasks: dict[tuple[str, ...], list[Column]] = {}
        for column in mine:
            by_tasks.setdefault(column.tasks, []).append(column)
        yield from sorted(by_tasks.values(), key=lambda columns: -len(columns[0].tasks))


def _named(board: Leaderboard, tasks: Sequence[str]) -> str:
    """Name the tasks of a table if they are not all of the suite."""
    every = scored_tasks(board)
    others = [task for task in every if task not in tasks]
    if not others:
        return ""
    if len(tasks) == 1:
        return f", {tasks[0]}"
    names = ", ".join(tasks) if len(tasks) <= len(others) else f"all but {', '.join(others)}"
    return f", {len(tasks)} of {len(every)} tasks: {names}"


def _interval(one: Column, key: RowKey, resamples: Resamples) -> Entry:
    entry, bounds = mean_entry(one, key), resamples.interval(one.cells.get(key, ()))
    if bounds is None:
        return entry
    text = f"{entry.text} ({percent(bounds[0])} to {percent(bounds[1])})"
    return Entry(text, partial=entry.partial, value=entry.value)
