"""Stars, ranks and recovered shares: what a cell's numbers mean beside those of its family.

Only complete cells are starred and ranked, and only they count in the Holm family: runs are
seldom lost at random, so a cell that lacks some may look better than it is. Its raw figures are
computed from what is there and stand in the CSV.
"""

from __future__ import annotations

import contextlib
import gc
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmark.core.records import CellId, Status
from evaluators.statistics import Comparison, Rank, compare_family, rank_with_ties

if TYPE_CHECKING:
    from leaderboards.model import CellResult, RowKey

FULL_DPC = "0"
UNRANKED = Rank(None, None)
SIGNED = ("matthews",)
"""Metrics that may be below 0."""


def family_of(cell: CellId) -> tuple[str, str, str]:
    """Return task, learner and DPC: what the cells of a family have in common."""
    return cell.task, cell.learner, cell.dpc


def families(cells: Iterable[CellResult]) -> dict[tuple[str, str, str], list[CellResult]]:
    """Group cells with scores by (task, learner, dpc), without the full-data cells."""
    groups = defaultdict(list)
    for cell in cells:
        if cell.id.dpc != FULL_DPC and cell.summary is not None:
            groups[family_of(cell.id)].append(cell)
    return groups


def judge(cells: Sequence[CellResult], reference: RowKey | None) -> list[CellResult]:
    """Return the cells in their order, with comparison and rank where these can be had."""
    judged = {}
    with _heap_set_aside():
        for group in families(cells).values():
            members = {cell.row: cell for cell in group}
            complete = {row: c.scores for row, c in members.items() if c.status == Status.OK}
            ranks = ranked(members)
            compared = _compare(members, complete, reference)
            for row, cell in members.items():
                judged[cell.id] = replace(cell, comparison=compared.get(row), rank=ranks[row])
    return [judged.get(cell.id, cell) for cell in cells]


def ranked(members: Mapping[RowKey, CellResult]) -> dict[RowKey, Rank]:
    """Return the ranks of cells with scores within one family.

    A cell that can't be tested (one set, or runs missing) is shown to be neither better nor worse
    than any other. It has no rank, and may be before or behind each of the ranked: the last place
    of these is one further back, so that nothing is a clear first below a score that is untested.
    """
    ranks = rank_with_ties({r: c.scores for r, c in members.items() if c.status == Status.OK})
    untested = sum(row not in ranks or ranks[row].rank is None for row in members)
    return {
        row: replace(rank, worst=rank.worst + untested)
        if (rank := ranks.get(row, UNRANKED)).rank is not None
        else UNRANKED
        for row in members
    }


def recovered_shares(cells: Sequence[CellResult]) -> list[CellResult]:
    """Add (score - random) / (full - random), where full data beats random rows, and score / full.

    The second is the "recovered accuracy" of the TDD and DaLLME papers, which counts what a guess
    would reach as recovered. It is left out for a metric that may be below 0: a share of such a
    score is none, be the full data's above 0 or not.
    """
    full = {
        (c.id.task, c.id.learner): c.mean
        for c in cells
        if c.id.dpc == FULL_DPC and c.id.method == "full"
    }
    counts = Counter(c.row for c in cells if c.id.method == "random")
    usual = min(counts, key=lambda row: (-counts[row], row), default=None)
    chance = {family_of(c.id): c.mean for c in cells if c.row == usual}
    shares = []
    for cell in cells:
        top = full.get((cell.id.task, cell.id.learner), float("nan"))
        floor = chance.get(family_of(cell.id), float("nan"))
        share = (cell.mean - floor) / (top - floor) if top > floor else float("nan")
        plain = cell.mean / top if top > 0 and cell.metric not in SIGNED else float("nan")
        shares.append(replace(cell, recovered=share, of_full=plain))
    return shares


@contextlib.contextmanager
def _heap_set_aside() -> Iterator[None]:
    """Keep what is alive now out of garbage collection inside the block.

    The Holm correction of statsmodels collects garbage at each call, 27 ms with the usual imports:
    nine tenths of the time of a wide suite without this. It is imported first, so that what it
    brings along is set aside as well.
    """
    import statsmodels.stats.multitest
    import statsmodels.stats.power  # noqa: F401

    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _compare(
    members: Mapping[RowKey, CellResult],
    complete: Mapping[RowKey, tuple],
    reference: RowKey | None,
) -> dict[RowKey, Comparison]:
    if reference not in members:
        return {}
    tested = _pairs(complete, reference) if reference in complete else {}
    for row, cell in members.items():
        if row != reference and row not in tested:
            pair = {row: cell.scores, reference: members[reference].scores}
            raw = _pairs(pair, reference)[row]
            lacking = "runs lack here or in the reference"
            tested[row] = replace(
                raw, p_holm=float("nan"), star="", direction="", untested=raw.untested or lacking
            )
    return tested


def _pairs(scores: Mapping[RowKey, tuple], reference: RowKey) -> dict[RowKey, Comparison]:
    """Call `compare_family`, which names its members by one text, with rows."""
    rows = {" ".join(row): row for row in scores}
    named = compare_family({name: scores[row] for name, row in rows.items()}, " ".join(reference))
    return {rows[name]: comparison for name, comparison in named.items()}
