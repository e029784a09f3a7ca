"""What the figures of a page show: plain numbers, their text for those who can't see them, a hash.

Nothing is drawn here. The hash is of the numbers as they are drawn, so a check can tell whether a
figure is that of the rows without drawing it, and with any version of the library that draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmark.core.keys import canonical_json, sha256_text
from evaluators.statistics import Friedman
from leaderboards.averages import Column
from leaderboards.model import Leaderboard, RowKey
from leaderboards.resamples import Resamples
from leaderboards.rounding import decimals, percent, steady
from leaderboards.rows import dpc_number
from leaderboards.scores import is_wide
from leaderboards.table import one_line

LEGEND = 110
"""Characters of a label below a chart, where variants must be told apart."""

KINDS = ("scaling", "ranks")
"""What figures there are; a suite's are called `SUITE-KIND`."""

MOST_PANELS = 24
"""More of them are no figure any more."""

Point = tuple[float, float, float, float]
"""DPC, mean, and the bounds of its 95% interval (the mean where there is none), in points."""


@dataclass(frozen=True)
class Curve:
    """One method's scores by budget."""

    label: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class CurvePanel:
    """The methods of a learner, on one task or over tasks; `full` is the full-data score."""

    title: str
    curves: tuple[Curve, ...]
    full: float | None = None


@dataclass(frozen=True)
class RankPanel:
    """A critical-difference diagram: average ranks, best first, and bars over what is tied."""

    title: str
    ranks: tuple[tuple[str, float], ...]
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """A grid of panels, `columns` in a row; `name` is that of its files, without a suffix.

    `labels` are all methods, in table order: a method has one colour in all panels.
    """

    name: str
    title: str
    alt: str
    columns: int
    labels: tuple[str, ...]
    panels: tuple[CurvePanel, ...] | tuple[RankPanel, ...]

    @property
    def data_hash(self) -> str:
        """16 hex digits over everything that is drawn."""
        return sha256_text(canonical_json(asdict(self)))[:16]


def scaling_figure(
    board: Leaderboard, averages: Sequence[Column], resamples: Resamples
) -> Figure | None:
    """Return score by DPC, with bands: panels by task and learner, of wide suites by learner."""
    wide = is_wide(board)
    panels = (
        [_mean_panel(board, averages, learner, resamples) for learner in board.learners]
        if wide
        else [_cell_panel(board, t, learner) for t in board.tasks for learner in board.learners]
    )
    panels = [one for one in panels if any(len(curve.points) > 1 for curve in one.curves)]
    if not 0 < len(panels) <= MOST_PANELS:
        return None
    drawn = {curve.label for panel in panels for curve in panel.curves}
    labels = tuple(name for name in map(_legend, board.labels.values()) if name in drawn)
    what = "mean score over tasks" if wide else "score"
    leads = "; ".join(_leader(panel) for panel in panels)
    return Figure(
        name=f"{board.suite}-scaling",
        title=f"{board.suite}: {what} by examples per class (DPC)",
        alt=f"Line chart of the {what} in points by DPC, with 95% interval bands, for "
        f"{', '.join(labels)}. Highest mean at the largest DPC: {leads}.",
        columns=min(len(panels), 2 if len(panels) <= 4 else 3),
        labels=labels,
        panels=tuple(panels),
    )


def rank_figure(board: Leaderboard, tests: Sequence[tuple[Column, Friedman]]) -> Figure | None:
    """Return critical-difference diagrams, by learner and DPC."""
    panels = [
        RankPanel(
            _name(f"{column.learner}, DPC {column.dpc}"),
            tuple((_name(m), steady(round(rank, 6))) for m, rank in test.average_ranks.items()),
            steady(round(test.critical_difference, 6)),
            tuple(tuple(map(_name, group)) for group in test.groups),
        )
        for column, test in tests
    ]
    if not 0 < len(panels) <= MOST_PANELS:
        return None
    told = "; ".join(
        f"{panel.title}: " + ", ".join(f"{name} {decimals(r, 2)}" for name, r in panel.ranks)
        for panel in panels
    )
    drawn = {name for panel in panels for name, _ in panel.ranks}
    return Figure(
        name=f"{board.suite}-ranks",
        title=f"{board.suite}: average ranks over tasks, and Nemenyi's critical difference",
        alt=f"Critical-difference diagrams of average ranks, 1 the best. {told}.",
        columns=min(len(panels), max(1, len({column.dpc for column, _ in tests}))),
        labels=tuple(name for name in map(_name, board.labels.values()) if name in drawn),
        panels=tuple(panels),
    )


def _mean_panel(
    board: Leaderboard, averages: Sequence[Column], learner: str, resamples: Resamples
) -> CurvePanel:
    mine = [column for column in averages if column.learner == learner]
    most = max((column.tasks for column in mine), key=len, default=())
    mine = [column for column in mine if column.tasks == most]  # a curve is over the same tasks
    curves = []
    for key in board.rows:
        points = []
        for column in mine:
            if cells := column.cells.get(key):
                mean = float(np.mean([cell.mean for cell in cells]))
                bounds = resamples.interval(cells) or (mean, mean)
                points.append(_point(column.dpc, mean, *bounds))
        if points:
            curves.append(Curve(_legend(board.labels[key]), tuple(points)))
    full = [
        float(np.mean([cell.mean for cell in cells]))
        for key in board.full_rows
        for column in mine[-1:]
        if (cells := column.cells.get(key))
    ]
    return CurvePanel(_name(learner), tuple(curves), _points(full[0]) if full else None)


def _cell_panel(board: Leaderboard, task: str, learner: str) -> CurvePanel:
    def curve(key: RowKey) -> Curve:
        points = []
        for dpc in board.dpcs:
            cell = board.cell(task, learner, dpc, key)
            if cell is not None and cell.summary is not None:
                low, high = cell.summary.ci_low, cell.summary.ci_high
                bounds = (low, high) if np.isfinite(low) else (cell.mean, cell.mean)
                points.append(_point(dpc, cell.mean, *bounds))
        return Curve(_legend(board.labels[key]), tuple(points))

    full = [board.cell(task, learner, "0", key) for key in board.full_rows]
    level = next((cell.mean for cell in full if cell is not None and cell.summary), None)
    curves = tuple(made for key in board.rows if (made := curve(key)).points)
    return CurvePanel(
        _name(f"{task}, {learner}"), curves, None if level is None else _points(level)
    )


def _legend(text: str) -> str:
    return _name(text, LEGEND)


def _name(text: str, longest: int = 60) -> str:
    """Return a name on one line, short enough for its place."""
    return one_line(text, longest)


def _leader(panel: CurvePanel) -> str:
    last = max(curve.points[-1][0] for curve in panel.curves)
    ends = [(curve.points[-1][1], curve.label) for curve in panel.curves]
    ends = [end for end, c in zip(ends, panel.curves, strict=True) if c.points[-1][0] == last]
    mean, label = max(ends)
    return f"{panel.title}: {label} {percent(mean / 100)}"


def _point(dpc: str, mean: float, low: float, high: float) -> Point:
    return dpc_number(dpc), _points(mean), _points(low), _points(high)


def _points(fraction: float) -> float:
    """Return a score in points, rounded so that the last bit of a mean changes no figure."""
    return round(steady(fraction) * 100, 4)
