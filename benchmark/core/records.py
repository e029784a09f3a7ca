"""Records: what the benchmark knows of cells, sets and runs. Plain data, one home for the fields.

A row's identity is (cell, set index, seed index); it points to a run key, under which the training
and its scores are kept. Rows that share a run key (a deterministic learner's seeds, a copied set)
share the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

UNAVAILABLE = "unavailable"
"""Fact of a failed set and cost of a failed run: what it needed could not be had. That may be there
the next time, so every run tries it again; other failures are tried again on request."""


class Status(StrEnum):
    """What became of a run."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class CellId:
    """The unit that a table shows: method x task x DPC x learner, within a suite.

    `params` is the canonical JSON of the method's parameters. `dpc` is text as tables print it:
    `"10"`, `"0"` for the full training set, `"2.5"` where `--ratio` gave rows / classes.
    """

    suite: str
    task: str
    method: str
    params: str
    dpc: str
    learner: str

    @property
    def label(self) -> str:
        """How a message names the cell."""
        return f"{self.task} / {self.method} / DPC {self.dpc} / {self.learner}"


@dataclass(frozen=True)
class CellPlan:
    """What a cell is meant to hold; kept with the rows, so that a table can tell what is missing.

    `reason` says why nothing can be run: a model or data set that is not there (`skipped`), or a
    learner that cannot use such sets (`structural`, no gap in coverage).
    """

    cell: CellId
    n_sets: int
    n_seeds: int
    metric: str
    reason: str = ""
    structural: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SetRecord:
    """A distilled set that was made. `facts` are its size, overlaps and costs."""

    set_key: str
    set_hash: str
    status: Status
    reason: str = ""
    ingredients: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)

    def is_settled(self, retry_failed: bool) -> bool:
        """Whether the next run leaves it as it is: made, or failed for good."""
        if self.status == Status.FAILED:
            return not (retry_failed or UNAVAILABLE in self.facts)
        return True


@dataclass(frozen=True)
class RunRecord:
    """One training run: scores, cost and status under its run key.

    `scores` hold every metric as a fraction; `costs` hold `train_seconds`, `predict_seconds`,
    `peak_memory_mb` and what the learner adds. `environment` is the key of an environment record.
    """

    run_key: str
    status: Status
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    ingredients: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""
    created: float = 0.0


@dataclass(frozen=True)
class Row:
    """One planned and attempted run of a cell, pointing to its set and its training."""

    cell: CellId
    set_index: int
    seed_index: int
    set_key: str
    run_key: str
    status: Status
    reason: str = ""
