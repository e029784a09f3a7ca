"""Where each method stands: places left open, its lead over the reference, how much it recovers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from leaderboards.averages import Column, places_text
from leaderboards.model import CellResult, Leaderboard, RowKey
from leaderboards.resamples import Resamples
from leaderboards.rounding import NOTHING, decimals, p_value, percent
from leaderboards.table import Entry, Table, entries, without_blanks

HEADS = (
    "lead\n(95% interval)", "Hedges g", "P(better)", "recovered\n(%)", "of full\n(%)", "ICC",
    "design\neffect",
)  # fmt: skip


def cell_standings(board: Leaderboard) -> list[Table]:
    """Return for each learner a line per task, DPC and method: for suites that are not wide."""
    tables = []
    for learner in board.learners:
        rows = [
            _cell_line(board, cell)
            for task in board.tasks
            for dpc in board.dpcs
            for key in board.rows
            if (cell := board.cell(task, learner, dpc, key)) and cell.summary is not None
        ]
        if rows:
            head = ("task", "DPC", "method", "places", "p (Holm)", *HEADS)
            tables.append(without_blanks(Table(learner, head, tuple(rows), left=3)))
    return [table for table in tables if len(table.header) > table.left]


def mean_standings(
    board: Leaderboard, averages: Sequence[Column], resamples: Resamples
) -> list[Table]:
    """Return for each learner a line per DPC and method, over the tasks of a column."""
    tables = []
    for learner in board.learners:
        rows = [
            _mean_line(board, column, key, resamples)
            for column in averages
            if column.learner == learner
            for key in board.rows
            if key in column.cells
        ]
        if rows:
            head = ("DPC", "method", "places", *HEADS)
            tables.append(without_blanks(Table(learner, head, tuple(rows), left=2)))
    return [table for table in tables if len(table.header) > table.left]


def _cell_line(board: Leaderboard, cell: CellResult) -> tuple[Entry, ...]:
    first, last = cell.rank.interval
    test = cell.comparison
    lead, p = Entry(""), Entry("")
    if test is not None:
        bounds = _bounds(test.ci_low, test.ci_high) if np.isfinite(test.ci_low) else ""
        lead = Entry(percent(test.difference) + bounds, value=test.difference)
        p = Entry(p_value(test.p_holm), value=_known(test.p_holm))
    places = NOTHING if first is None else f"{first}" if first == last else f"{first} to {last}"
    return (
        *entries(cell.id.task, cell.id.dpc, board.labels[cell.row]),
        Entry(places, value=first),
        p,
        lead,
        *_figures([cell]),
    )


def _mean_line(
    board: Leaderboard, column: Column, key: RowKey, resamples: Resamples
) -> tuple[Entry, ...]:
    cells = column.cells[key]
    first, last = column.places(key)
    reference = next((row for row in column.cells if board.labels[row] == board.reference), None)
    lead = Entry("")
    if reference is not None and reference != key:
        others = column.cells[reference]
        value = float(np.mean([a.mean - b.mean for a, b in zip(cells, others, strict=True)]))
        bounds = resamples.interval(cells, others)
        lead = Entry(percent(value) + (_bounds(*bounds) if bounds else ""), value=value)
    return (
        *entries(column.dpc, board.labels[key]),
        Entry(places_text(first, last), value=_known(first)),
        lead,
        *_figures(cells),
    )


def _figures(cells: Sequence[CellResult]) -> tuple[Entry, ...]:
    """Return the figures that both kinds of line have, as medians over cells."""
    tests = [cell.comparison for cell in cells if cell.comparison is not None]
    complete = [cell.summary for cell in cells if cell.status == "ok"]
    return (
        _median([test.hedges_g for test in tests], lambda g: decimals(g, 2)),
        _median([test.probability_of_improvement for test in tests], lambda p: decimals(p, 2)),
        _median([cell.recovered for cell in cells], percent),
        _median([cell.of_full for cell in cells], percent),
        _median([one.icc for one in complete], lambda icc: decimals(icc, 2)),
        _median([one.design_effect for one in complete], lambda effect: decimals(effect, 2)),
    )


def _median(values: Sequence[float], show: Callable[[float], str]) -> Entry:
    finite = [value for value in values if np.isfinite(value)]
    middle = float(np.median(finite)) if finite else float("nan")
    return Entry(show(middle) if values else "", value=_known(middle))


def _bounds(low: float, high: float) -> str:
    return f" ({percent(low)} to {percent(high)})"


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
