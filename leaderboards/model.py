"""From rows to a leaderboard: every cell with its statistics, in the order that all formats keep.

A family is the cells of one task, learner and DPC; stars and ranks are made inside it. The
full-data row stands in a family of its own, DPC 0, and is neither tested nor ranked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.records import CellId, Status
from leaderboards.cells import CellResult, RowKey, cell_order, cells_of
from leaderboards.families import family_of, judge, recovered_shares
from leaderboards.labels import row_labels
from leaderboards.reference import DEFAULT_REFERENCE, choose_reference
from leaderboards.rows import digest, dpc_number, normalise, parse, place, within_plan

__all__ = ["CellResult", "Leaderboard", "RowKey", "board_of", "build_leaderboard"]


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
        n_rows, n_used: rows that were handed in for the suite, and those of them within the plan.
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
    n_used: int
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
    cells = sorted(cells_of(rows), key=cell_order)
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
        n_used=len(rows),
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


def _ordered(cells: tuple[CellResult, ...], order: str, name: Any) -> list[str]:
    """Return distinct names by their first place in the catalogue, then by name."""
    places: dict[str, float] = {}
    for cell in cells:
        key = name(cell)
        places[key] = min(places.get(key, np.inf), place(cell.info, order))
    return sorted(places, key=lambda key: (places[key], key))
