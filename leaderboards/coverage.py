"""What was planned and is not there, and why."""

from __future__ import annotations

from collections import Counter, defaultdict

from leaderboards.model import CellResult, Leaderboard
from leaderboards.rounding import brief
from leaderboards.table import Table, entries, one_line

STATES = ("ok", "partial", "failed", "skipped")
NAMED = 3
"""Names that are listed before they are only counted."""


def count_table(board: Leaderboard) -> Table:
    """Return cells by learner and status. A structural skip stands apart: it is no gap."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for cell in board.cells:
        counts[cell.id.learner]["n/a" if cell.structural else cell.status] += 1
    states = [s for s in (*STATES, "n/a") if s == "ok" or any(c[s] for c in counts.values())]
    rows = [
        entries(learner, *(str(counts[learner][state]) for state in states))
        for learner in board.learners
    ]
    return Table("", ("learner", *states), tuple(rows))


def gap_table(board: Leaderboard) -> Table | None:
    """Return one line for each reason and what it struck, the largest gaps first."""
    gaps: dict[tuple[str, str], list[CellResult]] = defaultdict(list)
    for cell in board.cells:
        if cell.status != "ok" and not cell.structural:
            gaps[cell.status, one_line(cell.reason) or "no reason was recorded"].append(cell)
    lines = [
        (-len(part), _where(board, part), status, reason, sum(cell.lacking for cell in part))
        for (status, reason), cells in gaps.items()
        for part in _by_cause(board, cells)
    ]
    rows = [
        entries(where, status, reason, str(-size), brief(runs))
        for size, where, status, reason, runs in sorted(lines)
    ]
    header = ("where", "status", "reason", "cells", "runs lacking")
    return Table("", header, tuple(rows), left=3) if rows else None


def _by_cause(board: Leaderboard, cells: list[CellResult]) -> list[list[CellResult]]:
    """Split cells of one reason by learner or by task, whichever makes fewer lines.

    A reason that struck every learner and every task is one line.
    """
    learners, tasks = defaultdict(list), defaultdict(list)
    for cell in cells:
        learners[cell.id.learner].append(cell)
        tasks[cell.id.task].append(cell)
    if len(learners) == len(board.learners) and len(tasks) == len(board.tasks):
        return [cells]
    return list(min(learners, tasks, key=len).values())


def _where(board: Leaderboard, cells: list[CellResult]) -> str:
    """Say what the cells have in common, leaving out what they have from one end to the other."""
    whole = {
        "learner": (board.learners, {c.id.learner for c in cells}),
        "task": (board.tasks, {c.id.task for c in cells}),
        "method": (list(board.labels.values()), {board.labels[c.row] for c in cells}),
        "DPC": (["0", *board.dpcs], {c.id.dpc for c in cells}),
    }
    parts = []
    for kind, (everything, struck) in whole.items():
        named = [name for name in everything if name in struck]
        if len(named) < len(everything):
            listed = f"{kind} {', '.join(named)}"
            parts.append(
                listed if len(named) <= NAMED else f"{len(named)} of {len(everything)} {kind}s"
            )
    return "; ".join(parts) or "everything"
