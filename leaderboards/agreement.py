"""Does the order of methods depend on the learner, or on its recipe? Rank correlations of pairs."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np

from evaluators.statistics import rank_correlation
from leaderboards.model import Leaderboard, RowKey
from leaderboards.rounding import NOTHING, decimals
from leaderboards.table import Entry, Table, entries

MIN_METHODS = 3
"""With two methods a correlation is +1 or -1, which says little."""


def agreement_table(board: Leaderboard) -> Table | None:
    """Return learners by learners: Kendall's tau-b of their mean scores, averaged over families.

    A family is a task at a DPC; it counts for a pair if both learners have the same 3 or more
    methods with scores there, and not all tied. The full-data row is no method of a family.
    """
    orders: dict[str, dict[tuple[str, str], dict[RowKey, float]]] = defaultdict(dict)
    for cell in board.cells:
        if cell.summary is not None and cell.id.dpc != "0":
            family = orders[cell.id.learner].setdefault((cell.id.task, cell.id.dpc), {})
            family[cell.row] = cell.mean
    found = {
        pair: entry
        for pair in combinations([name for name in board.learners if name in orders], 2)
        if (entry := _mean_tau(orders[pair[0]], orders[pair[1]])) is not None
    }
    if not found:
        return None
    learners = [name for name in board.learners if any(name in pair for pair in found)]
    rows = [
        entries(a, *(found.get((a, b)) or found.get((b, a)) or _empty(a, b) for b in learners))
        for a in learners
    ]
    return Table("", ("learner", *learners), tuple(rows))


def _mean_tau(
    a: dict[tuple[str, str], dict[RowKey, float]], b: dict[tuple[str, str], dict[RowKey, float]]
) -> Entry | None:
    taus = []
    for family in a.keys() & b.keys():
        methods = sorted(a[family].keys() & b[family].keys())
        if len(methods) >= MIN_METHODS:
            # As text: a statistic may join the names of what it compares into a message.
            x = {str(method): a[family][method] for method in methods}
            y = {str(method): b[family][method] for method in methods}
            taus.append(rank_correlation(x, y).tau)
    known = sorted(tau for tau in taus if not np.isnan(tau))  # sorted: a sum in one fixed order
    if not known:
        return None
    mean = float(np.mean(known))
    return Entry(f"{decimals(mean, 2)} ({len(known)})", value=mean)


def _empty(a: str, b: str) -> Entry:
    return Entry("" if a == b else NOTHING)
