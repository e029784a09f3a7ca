"""Tables of a few figures per task: for each learner a line per DPC and method."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leaderboards.model import CellResult, Leaderboard
from leaderboards.table import Entry, Table, entries


def tables_by_task(
    board: Leaderboard,
    heads: Sequence[str],
    knows: Callable[[CellResult], bool],
    figures: Callable[[CellResult], Sequence[Entry]],
) -> list[Table]:
    """Return a table for each learner, `heads` columns for each task of which a cell `knows` them.

    Cells that do not know them are blank; lines and tables of blanks are left out.
    """
    known = {cell.id.task for cell in board.cells if knows(cell)}
    tasks = [task for task in board.tasks if task in known]
    lines = [(dpc, dpc, key) for dpc in board.dpcs for key in board.rows]
    lines += [("0", "all", key) for key in board.full_rows]
    head = tuple(f"{task}\n{name}" for task in tasks for name in heads)
    blank = [Entry("")] * len(heads)
    tables = []
    for learner in board.learners:
        rows = []
        for dpc, shown, key in lines:
            cells = [board.cell(task, learner, dpc, key) for task in tasks]
            told = [list(figures(c)) if c is not None and knows(c) else None for c in cells]
            if any(told):
                shown_figures = [entry for of_task in told for entry in of_task or blank]
                rows.append(entries(shown, board.labels[key], *shown_figures))
        if rows:
            tables.append(Table(learner, ("DPC", "method", *head), tuple(rows), left=2))
    return tables
