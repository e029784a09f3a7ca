"""Tasks with groups: how far groups of test rows are apart, and the score of the worst."""

from __future__ import annotations

from collections.abc import Sequence

from leaderboards.by_task import tables_by_task
from leaderboards.model import CellResult, Leaderboard
from leaderboards.rounding import percent
from leaderboards.rows import FAIRNESS
from leaderboards.table import Entry, Table

HEADS = {"tpr_gap": "TPR gap", "worst_group": "worst group"}


def fairness_tables(board: Leaderboard) -> list[Table]:
    """Return for each learner a line per DPC and method, two columns per task with groups."""
    heads = [HEADS[name] for name in FAIRNESS]
    return tables_by_task(board, heads, lambda cell: bool(cell.fairness), _figures)


def _figures(cell: CellResult) -> Sequence[Entry]:
    return [_figure(cell, name) for name in FAIRNESS]


def _figure(cell: CellResult, name: str) -> Entry:
    """The mean with its 95% interval over sets, where there are two sets or more."""
    if name not in cell.fairness:
        return Entry("")
    found = cell.fairness[name]
    text = percent(found.mean)
    if found.ci_low == found.ci_low and found.n_sets > 1:
        text += f" [{percent(found.ci_low)}, {percent(found.ci_high)}]"
    return Entry(text, value=found.mean)
