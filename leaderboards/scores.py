"""The main tables, in the form of the papers: method rows, task x DPC columns, one per learner."""

from __future__ import annotations

from leaderboards.model import CellResult, Leaderboard, RowKey
from leaderboards.rounding import NOTHING, percent
from leaderboards.table import Entry, Table

WIDEST = 12
"""Score columns that can be read side by side; wider suites are split by task."""

Column = tuple[str, str]
"""Task and DPC."""


def is_wide(board: Leaderboard) -> bool:
    """Tell whether one table a learner would be too wide to read."""
    return any(len(score_columns(board, learner)) > WIDEST for learner in board.learners)


def score_columns(board: Leaderboard, learner: str) -> list[Column]:
    """Return the (task, DPC) of a learner that any method has a score for."""
    scored = {
        (c.id.task, c.id.dpc)
        for c in board.cells
        if c.id.learner == learner and c.summary is not None
    }
    full_only = {task for task, dpc in scored if dpc == "0"} - {t for t, d in scored if d != "0"}
    return [
        (task, dpc)
        for task in board.tasks
        for dpc in (["0"] if task in full_only else board.dpcs)
        if (task, dpc) in scored
    ]


def main_tables(board: Leaderboard) -> dict[str, list[Table]]:
    """Return learner -> its tables, several where the suite is wide; none without any score."""
    tables = {}
    for learner in board.learners:
        parts = _split(score_columns(board, learner))
        tables[learner] = [
            _score_table(board, learner, columns, f"{learner}, part {number} of {len(parts)}")
            if len(parts) > 1
            else _score_table(board, learner, columns, learner)
            for number, columns in enumerate(parts, start=1)
        ]
    return {learner: made for learner, made in tables.items() if made}


def score_entry(board: Leaderboard, cell: CellResult | None) -> Entry:
    """Return what a score table prints for a cell."""
    if cell is None:
        return Entry("")
    if cell.summary is None:
        return Entry("n/a" if cell.structural else "failed" if cell.status == "failed" else NOTHING)
    return Entry(
        f"{percent(cell.summary.mean)}±{percent(cell.summary.std)}",
        bold=cell.id in board.best,
        star=bool(cell.comparison and cell.comparison.star),
        partial=cell.status != "ok",
        value=cell.summary.mean,
    )


def _split(columns: list[Column]) -> list[list[Column]]:
    """Cut columns into readable tables of nearly equal width; a task is never cut in two."""
    by_task: dict[str, list[Column]] = {}
    for column in columns:
        by_task.setdefault(column[0], []).append(column)
    parts: list[list[Column]] = []
    for group in by_task.values():
        if parts and len(parts[-1]) + len(group) <= WIDEST:
            parts[-1] += group
        else:
            parts.append(list(group))
    return parts


def _score_table(board: Leaderboard, learner: str, columns: list[Column], title: str) -> Table:
    def row(key: RowKey, full: bool) -> tuple[Entry, ...] | None:
        cells = [board.cell(task, learner, "0" if full else dpc, key) for task, dpc in columns]
        if not any(cells):
            return None
        return Entry(board.labels[key]), *(score_entry(board, cell) for cell in cells)

    body = [made for key in board.rows if (made := row(key, False))]
    feet = [made for key in board.full_rows if (made := row(key, True))]
    return Table(
        title=title,
        header=("method", *(f"{task}\n{dpc}" for task, dpc in columns)),
        rows=(*body, *feet),
        feet=len(feet),
    )
