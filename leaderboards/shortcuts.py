"""Pair tasks: scores on the test pairs that share few of their words, and many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leaderboards.by_task import tables_by_task
from leaderboards.model import CellResult, Leaderboard
from leaderboards.rounding import percent
from leaderboards.rows import HALVES
from leaderboards.table import Entry, Table

LARGEST_CLASS = {"mrpc": (0.539, 0.828), "mnli-10k": (0.402, 0.479)}
"""Share of the most frequent class in the half with few words in common, and in the other one, of
the test splits of which it is known: what a guess reaches. A test computes them from the data."""


def shortcut_tables(board: Leaderboard) -> list[Table]:
    """Return for each learner a line per DPC and method, two columns per task of pairs."""
    return tables_by_task(board, ("few", "many"), _known, _halves)


def _known(cell: CellResult) -> bool:
    return bool(np.isfinite(cell.averages[HALVES[0]]))


def _halves(cell: CellResult) -> Sequence[Entry]:
    return [Entry(percent(cell.averages[name]), value=cell.averages[name]) for name in HALVES]
