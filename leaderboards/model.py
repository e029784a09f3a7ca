"""From rows to a leaderboard: every cell with its statistics, in the order that all formats keep.

A family is the cells of one task, learner and DPC; stars and ranks are made inside it. The
full-data row stands in a family of its own, DPC 0, and is neither tested nor ranked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.records import CellId, Status
from evaluators.statistics import CellSummary, Comparison, Rank, summarise
from leaderboards.families import family_of, judge, recovered_shares
from leaderboards.labels import row_labels
from leaderboards.reference import DEFAULT_REFERENCE, choose_reference
from leaderboards.rows import (
    CELL,
    COSTS,
    FAIRNESS,
    HALVES,
    METRICS,
    QUALITY,
    RARE,
    SHARES,
    SIZES,
    digest,
    dpc_number,
    normalise,
    parse,
    place,
    within_plan,
)

PARTIAL = "partial"
RowKey = tuple[str, str]
"""What a row of a table stands for: a method and its parameters."""


@dataclass(frozen=True, eq=False)
class CellResult:
    """One cell: what was planned, what came of it, and what the scores say.

    `scores` holds one array of runs per set, of ok runs only, and `summary` is None without any.
    `status` is `ok` if every planned run is, `partial` if some are, else `failed` or `skipped`;
    `lacking` counts the planned runs that are not ok, and `reason` is what most of them say.
    `averages` are means over ok runs of metrics, costs and sizes (the peak of the memory).
    `preparation` is what the method learned once per task: seconds by phase, and findings.
    `fairness` sums up the measures of groups as `summary` does the score, for tasks with groups.
    """

    id: CellId
    status: str
    reason: str
    lacking: int
    structural: bool
    planned: tuple[int, int]
    metric: str
    info: Mapping[str, Any]
    scores: Sequence[np.ndarray]
    summary: CellSummary | None
    averages: Mapping[str, float]
    device: str
    preparation: Mapping[str, float] = field(default_factory=dict)
    perplexity_models: frozenset[str] = frozenset()
    comparison: Comparison | None = None
    rank: Rank = field(default_factory=lambda: Rank(None, None))
    recovered: float = float("nan")
    of_full: float = float("nan")
    fairness: Mapping[str, CellSummary] = field(default_factory=dict)

    @property
    def row(self) -> RowKey:
        """The table row that the cell belongs to."""
        return self.id.method, self.id.params

    @property
    def mean(self) -> float:
        """Mean primary score over the ok runs, NaN without any."""
        return self.summary.mean if self.summary else float("nan")


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """A suite's cells and what stands around them.

    Attributes:
        suite: its name.
        reference: label of the row that the others are tested against; "" if it has no cells.
        wanted: the reference that was asked for, present or not.
        cells: sorted by task, DPC, learner, method (catalogue order, then name).
        labels: row -> what a table prints for it, in table order.
        environments: distinct environments of the ok runs; devices; first and last run (seconds).
        digest: 16 hex digits over all rows that were handed in for the suite.
    """

    suite: str
    reference: str
    wanted: str
    cells: tuple[CellResult, ...]
    labels: Mapping[RowKey, str]
    environments: tuple[Mapping[str, Any], ...]
    devices: tuple[str, ...]
    created: tuple[float, float]
    n_rows: int
    digest: str

    @cached_property
    def _index(self) -> dict[tuple[str, str, str, RowKey], CellResult]:
        return {(c.id.task, c.id.learner, c.id.dpc, c.row): c for c in self.cells}

    def cell(self, task: str, learner: str, dpc: str, row: RowKey) -> CellResult | None:
        """Return one cell, None if it was never planned."""
        return self._index.get((task, learner, dpc, row))

    @cached_property
    def best(self) -> frozenset[CellId]:
        """Cells of rank 1 in families with at least two ranked cells and no higher unranked one.

        Where a cell that cannot be tested stands above, bold would show the wrong winner.
        """
        ranked = Counter(family_of(c.id) for c in self.cells if c.rank.rank is not None)
        highest: dict[tuple, float] = {}
        for cell in self.cells:
            if cell.rank.rank is None and cell.summary is not None:
                family = family_of(cell.id)
                highest[family] = max(highest.get(family, -np.inf), cell.summary.mean)
        return frozenset(
            c.id
            for c in self.cells
            if c.rank.rank == 1
            and ranked[family_of(c.id)] > 1
            and not highest.get(family_of(c.id), -np.inf) > c.summary.mean
        )

    @cached_property
    def tasks(self) -> list[str]:
        """Tasks in catalogue order."""
        return _ordered(self.cells, "task_order", lambda cell: cell.id.task)

    @cached_property
    def learners(self) -> list[str]:
        """Learners in catalogue order."""
        return _ordered(self.cells, "learner_order", lambda cell: cell.id.learner)

    @cached_property
    def rows(self) -> list[RowKey]:
        """Rows with a budget, in table order."""
        budgeted = {cell.row for cell in self.cells if cell.id.dpc != "0"}
        return [row for row in self.labels if row in budgeted]

    @cached_property
    def full_rows(self) -> list[RowKey]:
        """Full-data rows (DPC 0)."""
        full = {cell.row for cell in self.cells if cell.id.dpc == "0"}
        return [row for row in self.labels if row in full]

    @cached_property
    def dpcs(self) -> list[str]:
        """Budgets, small to large, without the full data."""
        return sorted({c.id.dpc for c in self.cells} - {"0"}, key=lambda d: (dpc_number(d), d))


def build_leaderboard(
    frame: pd.DataFrame, suite: str | None = None, reference: str | None = None
) -> Leaderboard:
    """Build the leaderboard of one suite from result rows.

    Args:
        frame: the rows, with the columns of `leaderboards.rows.COLUMNS`, in any order.
        suite: which suite; may be left out where the rows hold only one.
        reference: method (or row label) that stars refer to, `k-centers` if not given. Where the
            default has no cells no test is made; a name that is given must be there.

    Raises:
        InputError: malformed rows, no rows for the suite, an unknown reference.
    """
    rows = normalise(frame)
    suite = _choose_suite(rows, suite)
    return board_of(rows[rows.suite == suite].reset_index(drop=True), reference)


def board_of(rows: pd.DataFrame, reference: str | None = None) -> Leaderboard:
    """Build the leaderboard of rows that are normalised already and of one suite.

    Raises:
        InputError: no row is within the plan, or an unknown reference.
    """
    suite = _choose_suite(rows, None)
    n_rows, fingerprint = len(rows), digest(rows)
    rows = within_plan(rows)
    if rows.empty:
        raise InputError(f"no row of suite {suite!r} is within its plan of sets and seeds")
    cells = sorted(_cells(rows), key=_cell_order)
    labels = row_labels(cells)
    key = choose_reference(cells, labels, reference)
    cells = recovered_shares(judge(cells, key))
    ok = rows[rows.status == Status.OK]
    return Leaderboard(
        suite=suite,
        reference=labels[key] if key else "",
        wanted=reference or DEFAULT_REFERENCE,
        cells=tuple(cells),
        labels=labels,
        environments=tuple(parse(text) for text in sorted(ok.environment.unique()) if text),
        devices=tuple(sorted(set(ok.device.unique()) - {""})),
        created=(ok.created.min(), ok.created.max()),
        n_rows=n_rows,
        digest=fingerprint,
    )


def _choose_suite(rows: pd.DataFrame, suite: str | None) -> str:
    suites = sorted(rows.suite.unique())
    if suite is None and len(suites) > 1:
        raise InputError(f"the rows hold several suites, name one: {', '.join(suites)}")
    if not suites:
        raise InputError("there are no rows to make a leaderboard from")
    if suite is not None and suite not in suites:
        raise InputError(f"no rows for suite {suite!r}.{did_you_mean(suite, suites)}")
    return suite or suites[0]


def _cells(rows: pd.DataFrame) -> Iterator[CellResult]:
    """Yield the cells; the rows are sorted by identity, so that each cell is one slice."""
    code = rows.groupby(CELL, sort=False).ngroup().to_numpy()
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    ok = (rows.status == Status.OK).to_numpy()
    names = [*METRICS, *COSTS, *SIZES, *SHARES, *QUALITY, *HALVES, *FAIRNESS, *RARE]
    measured = rows.loc[ok, names].groupby(code[ok])
    averages = measured.mean()
    averages["peak_memory_mb"] = measured["peak_memory_mb"].max()
    averages = averages.reindex(range(len(starts)))
    names, averages = list(averages.columns), averages.to_numpy()
    columns = {name: rows[name].to_numpy() for name in rows}
    for index, (start, stop) in enumerate(zip(starts, [*starts[1:], len(rows)], strict=True)):
        cell = {name: values[start:stop] for name, values in columns.items()}
        good = ok[start:stop]
        scores = _by_set(cell["score"][good], cell["set_index"][good])
        planned = int(cell["planned_sets"][0]), int(cell["planned_seeds"][0])
        status, reason = _outcome(cell["status"], cell["reason"], good, planned)
        yield CellResult(
            id=CellId(*(cell[name][0] for name in CELL)),
            status=status,
            reason=reason,
            lacking=max(0, planned[0] * planned[1] - int(good.sum())),
            structural=status == Status.SKIPPED and bool(cell["structural"].all()),
            planned=planned,
            metric=cell["metric"][0],
            info=parse(cell["info"][0]),
            scores=scores,
            summary=summarise(scores) if len(scores) else None,
            averages=dict(zip(names, averages[index].tolist(), strict=True)),
            device=", ".join(sorted(set(cell["device"][good]) - {""})),
            preparation=parse(next(filter(None, cell["preparation"]), "")),
            perplexity_models=frozenset(cell["perplexity_model"][good]) - {""},
            fairness={
                name: summarise(_by_set(cell[name][good], cell["set_index"][good]))
                for name in FAIRNESS
                if good.any() and np.isfinite(cell[name][good]).all()
            },
        )


def _by_set(scores: np.ndarray, sets: np.ndarray) -> Sequence[np.ndarray]:
    """Return one array of runs per set: the rows of a matrix where all have as many runs."""
    if not len(scores):
        return ()
    cuts = np.flatnonzero(np.diff(sets)) + 1
    size = cuts[0] if len(cuts) else len(scores)
    if (np.diff(cuts, prepend=0, append=len(scores)) == size).all():
        return scores.reshape(-1, size)
    return tuple(np.split(scores, cuts))


def _outcome(
    status: np.ndarray, reason: np.ndarray, ok: np.ndarray, planned: tuple[int, int]
) -> tuple[str, str]:
    """Return a cell's status and, unless it is ok, the reason that most of its runs give."""
    if ok.any() and ok.sum() >= planned[0] * planned[1]:
        return Status.OK.value, ""
    said = Counter(text for text in reason[~ok] if text)
    main = min(said, key=lambda text: (-said[text], text), default="")
    if ok.any():
        return PARTIAL, main or "not run yet"
    failed = Status.FAILED.value in set(status)
    return (Status.FAILED.value if failed else Status.SKIPPED.value), main


def _cell_order(cell: CellResult) -> tuple:
    budget = dpc_number(cell.id.dpc), cell.id.dpc
    learner = place(cell.info, "learner_order"), cell.id.learner
    method = place(cell.info, "method_order"), cell.id.method, cell.id.params
    return place(cell.info, "task_order"), cell.id.task, budget, learner, method


def _ordered(cells: tuple[CellResult, ...], order: str, name: Any) -> list[str]:
    """Return distinct names by their first place in the catalogue, then by name."""
    places: dict[str, float] = {}
    for cell in cells:
        key = name(cell)
        places[key] = min(places.get(key, np.inf), place(cell.info, order))
    return sorted(places, key=lambda key: (places[key], key))
