"""From the rows of a cell to the cell: what was planned, what came of it, what the scores say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchmark.core.records import CellId, Status
from evaluators.statistics import CellSummary, Comparison, Rank, summarise
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
    dpc_number,
    parse,
    place,
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
    `distinct_sets` counts the sets with scores that are not the same as another one: equal rows
    come of deterministic methods on pools that overlap. A set without a hash counts as another.
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
    distinct_sets: int = 0

    @property
    def row(self) -> RowKey:
        """The table row that the cell belongs to."""
        return self.id.method, self.id.params

    @property
    def mean(self) -> float:
        """Mean primary score over the ok runs, NaN without any."""
        return self.summary.mean if self.summary else float("nan")


def cells_of(rows: pd.DataFrame) -> Iterator[CellResult]:
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
            distinct_sets=_distinct(cell["set_hash"][good], cell["set_index"][good]),
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


def _distinct(hashes: np.ndarray, sets: np.ndarray) -> int:
    """Count sets by what they hold; one without a hash is taken for another."""
    held = dict(zip(sets, hashes, strict=True))
    return len({text or index for index, text in held.items()})


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


def cell_order(cell: CellResult) -> tuple:
    budget = dpc_number(cell.id.dpc), cell.id.dpc
    learner = place(cell.info, "learner_order"), cell.id.learner
    method = place(cell.info, "method_order"), cell.id.method, cell.id.params
    return place(cell.info, "task_order"), cell.id.task, budget, learner, method
