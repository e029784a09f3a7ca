"""Tasks with groups: how far groups of test rows are apart, and the score of the worst."""

from __future__ import annotations

from leaderboards.model import CellResult, Leaderboard
from leaderboards.rounding import percent
from leaderboards.rows import FAIRNESS
from leaderboards.table import Entry, Table, entries

HEADS = {"tpr_gap": "TPR gap", "worst_group": "worst group"}


def fairness_tables(board: Leaderboard) -> list[Table]:
    """Return for each learner a line per DPC and method, two columns per task with groups."""
    known = {cell.id.task for cell in board.cells if cell.fairness}
    tasks = [task for task in board.tasks if task in known]
    tables = []
    for learner in board.learners:
        lines = [(dpc, dpc, key) for dpc in board.dpcs for key in board.rows]
        lines += [("0", "all", key) for key in board.full_rows]
        rows = []
        for dpc, shown, key in lines:
            cells = [board.cell(task, learner, dpc, key) for task in tasks]
            if any(cell is not None and cell.fairness for cell in cells):
                figures = [_figure(cell, name) for cell in cells for name in FAIRNESS]
                rows.append(entries(shown, board.labels[key], *figures))
        if rows:
            head = tuple(f"{task}\n{HEADS[name]}" for task in tasks for name in FAIRNESS)
            tables.append(Table(learner, ("DPC", "method", *head), tuple(rows), left=2))
    return tables


def _figure(cell: CellResult | None, name: str) -> Entry:
    """The mean with its 95% interval over sets, where there are two sets or more."""
    if cell is None or name not in cell.fairness:
        return Entry("")
    found = cell.fairness[name]
    text = percent(found.mean)
    if found.ci_low == found.ci_low and found.n_sets > 1:
        text += f" [{percent(found.ci_low)}, {percent(found.ci_high)}]"
    return Entry(text, value=found.mean)
