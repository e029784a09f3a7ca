"""Pair tasks: scores on the test pairs that share few of their words, and many."""

from __future__ import annotations

import numpy as np

from leaderboards.model import CellResult, Leaderboard
from leaderboards.rounding import percent
from leaderboards.rows import HALVES
from leaderboards.table import Entry, Table, entries


def shortcut_tables(board: Leaderboard) -> list[Table]:
    """Return for each learner a line per DPC and method, two columns per task of pairs."""
    known = {cell.id.task for cell in board.cells if _known(cell)}
    tasks = [task for task in board.tasks if task in known]
    tables = []
    for learner in board.learners:
        lines = [(dpc, dpc, key) for dpc in board.dpcs for key in board.rows]
        lines += [("0", "all", key) for key in board.full_rows]
        rows = []
        for dpc, shown, key in lines:
            cells = [board.cell(task, learner, dpc, key) for task in tasks]
            if any(cell is not None and _known(cell) for cell in cells):
                figures = (entry for cell in cells for entry in _halves(cell))
                rows.append(entries(shown, board.labels[key], *figures))
        if rows:
            head = tuple(f"{task}\n{half}" for task in tasks for half in ("few", "many"))
            tables.append(Table(learner, ("DPC", "method", *head), tuple(rows), left=2))
    return tables


def _known(cell: CellResult) -> bool:
    return bool(np.isfinite(cell.averages[HALVES[0]]))


def _halves(cell: CellResult | None) -> tuple[Entry, Entry]:
    if cell is None or not _known(cell):
        return Entry(""), Entry("")
    low, high = (cell.averages[name] for name in HALVES)
    return Entry(percent(low), value=low), Entry(percent(high), value=high)
