"""Who is shown to be better than whom: every pair of methods, counted over tasks and budgets."""

from __future__ import annotations

from leaderboards.cells import CellResult, RowKey
from leaderboards.model import Leaderboard
from leaderboards.table import Entry, Table, entries

MIN_METHODS = 3
"""With two methods the star has told everything."""


def pair_tables(board: Leaderboard) -> list[Table]:
    """Return for each learner a table of methods by methods.

    An entry counts the tasks and DPCs on which the method of the line is better than that of the
    column, not told apart from it, and worse, by the test behind the places. Cells that cannot be
    tested (one set, or runs missing) do not count. Columns have the numbers of the lines, as names
    of variants are long.
    """
    tables = []
    for learner in board.learners:
        tested = _tested(board, learner)
        rows = [row for row in board.rows if any(row in family for family in tested)]
        if len(rows) < MIN_METHODS:
            continue
        numbers = [str(number) for number in range(1, len(rows) + 1)]
        lines = tuple(
            entries(number, board.labels[a], *(_count(tested, a, b) for b in rows))
            for number, a in zip(numbers, rows, strict=True)
        )
        tables.append(Table(learner, ("", "method", *numbers), lines, left=2))
    return tables


def _tested(board: Leaderboard, learner: str) -> list[dict[RowKey, CellResult]]:
    """The cells of each task and DPC that have a place."""
    found = []
    for task in board.tasks:
        for dpc in board.dpcs:
            cells = {row: board.cell(task, learner, dpc, row) for row in board.rows}
            ranked = {
                row: cell
                for row, cell in cells.items()
                if cell is not None and cell.rank.rank is not None
            }
            if ranked:
                found.append(ranked)
    return found


def _count(tested: list[dict[RowKey, CellResult]], a: RowKey, b: RowKey) -> Entry:
    """Wins, ties and losses of `a` against `b`, sorted by what is won beyond what is lost."""
    both = [family for family in tested if a in family and b in family]
    if a == b or not both:
        return Entry("")
    won = sum(b in family[a].rank.beats for family in both)
    lost = sum(a in family[b].rank.beats for family in both)
    return Entry(f"{won} / {len(both) - won - lost} / {lost}", value=float(won - lost))
