"""A planned cell: what its sets and trainings are made of, and so their keys, seeds and jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.catalogue import Protocol
from benchmark.core.data import TaskData
from benchmark.core.keys import Key, canonical_json, combine, run_key, set_key, state_key
from benchmark.core.learner import Learner
from benchmark.core.method import Budget, Method
from benchmark.core.outline import Outline
from benchmark.core.records import CellId, CellPlan
from benchmark.core.seeding import seed_of
from benchmark.core.task import Task
from benchmark.work import PlannedRun, SetJob, state_seed


@dataclass(frozen=True)
class TaskFacts:
    """What planning needs to know of a task's data: fingerprints, counts, the words of each row."""

    pool: str
    test: str
    class_counts: tuple[int, ...]
    train_rows: int
    test_rows: int
    dropped: int
    pool_texts: str = ""
    test_texts: str = ""
    pool_groups: str = ""
    pool_words: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    test_words: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)

    @classmethod
    def of(cls, data: TaskData) -> TaskFacts:
        """What keys and pages need; what estimates and features need besides is left empty."""
        pool = data.pool
        return cls(
            pool=pool.fingerprint,
            test=data.test.fingerprint,
            class_counts=tuple(int(n) for n in pool.class_counts()),
            train_rows=len(pool),
            test_rows=len(data.test.labels),
            dropped=pool.dropped,
            pool_groups=pool.groups_fingerprint,
        )


def cell_info(
    place: Mapping[str, int],
    task: Task,
    facts: TaskFacts,
    note: str,
    sampling: str,
    protocol: str,
    recipe: Mapping[str, Any],
) -> dict[str, Any]:
    """What a page needs to know of a cell beside its scores; `note` is the method's.

    `place` says where task, method and learner stand in the catalogue.
    """
    return {
        **place,
        "n_classes": task.n_classes,
        "task_note": task.note,
        "method_note": note,
        "train_rows": facts.train_rows,
        "test_rows": facts.test_rows,
        "dropped_rows": facts.dropped,
        "revision": task.revision or "",
        "sampling": sampling,
        "protocol": protocol,
        "recipe": dict(recipe),
        "submitted": False,
    }


@dataclass(frozen=True)
class Cell:
    """A planned cell with everything that its keys are made of."""

    id: CellId
    method: Method
    learner: Learner
    budget: Budget
    n_sets: int
    n_seeds: int
    fraction: float
    facts: TaskFacts
    protocol: Protocol
    metric: str
    set_encoders: Mapping[str, str]
    run_models: Mapping[str, str]
    set_models: Mapping[str, str]
    info: Mapping[str, Any]
    classes: tuple[str, ...] = ()
    set_folders: Mapping[str, Path] = field(default_factory=dict)

    @property
    def outline(self) -> Outline:
        """What the method may know of the pool before any work."""
        return Outline(self.facts.class_counts, self.facts.pool_words, self.set_folders)

    @property
    def indices(self) -> list[tuple[int, int]]:
        """All (set index, seed index) of the cell."""
        return [(i, j) for i in range(self.n_sets) for j in range(self.n_seeds)]

    def record(self, reason: str = "", *, structural: bool = False) -> CellPlan:
        """What the store keeps of the plan."""
        return CellPlan(
            self.id, self.n_sets, self.n_seeds, self.metric, reason, structural, self.info
        )

    def set_key(self, set_index: int) -> Key:
        """Key of one of the cell's sets; cells that differ in the learner only share it."""
        pool = self.facts.pool
        if self.method.reads_groups:
            pool = combine(pool, self.facts.pool_groups)
        if self.fraction < 1:
            pool = combine(pool, f"resample {self.fraction}", self._resample_seed(set_index))
        return set_key(
            method=self.method.name,
            params=self.method.params(),
            method_version=self.method.version,
            pool=pool,
            dpc=list(self.budget.per_class),  # type: ignore[arg-type]
            set_index=set_index,
            protocol_seed=self.protocol.seed,
            encoders=self.set_encoders,
            models=self.set_models,
        )

    def owned_key(self, set_index: int) -> str | None:
        """Key of a set that the cell has or would have with more sets; None if it never would."""
        return self.set_key(set_index).digest

    def _resample_seed(self, set_index: int) -> int:
        # Without the method, so that all deterministic methods see the same twenty pools.
        return seed_of(
            "resample", task=self.id.task, set_index=set_index, protocol=self.protocol.seed
        )

    def state_folder(self, store: Path) -> Path | None:
        """Where what the method learns once per task is kept; None if it learns nothing."""
        if not self.method.needs_preparation:
            return None
        key = state_key(
            method=self.method.name,
            params=self.method.params(),
            method_version=self.method.version,
            pool=self.facts.pool,
            protocol_seed=self.protocol.seed,
            encoders=self.set_encoders,
            models=self.set_models,
        )
        return store / "states" / key.digest

    def set_job(self, set_index: int, store: Path, folder: Path) -> SetJob:
        """The job that makes one of the cell's sets."""
        key = self.set_key(set_index)
        return SetJob(
            task=self.id.task,
            method=self.method.name,
            params=self.method.params(),
            budget=self.budget,
            set_index=set_index,
            seed=seed_of(
                "distil",
                task=self.id.task,
                method=self.method.seeded_as or self.method.name,
                budget=canonical_json(list(self.budget.per_class)),
                set_index=set_index,
                protocol=self.protocol.seed,
            ),
            fraction=self.fraction,
            resample_seed=self._resample_seed(set_index),
            set_key=key.digest,
            folder=folder,
            state_folder=self.state_folder(store),
            parts=store / "states",
            state_seed=state_seed(self.id.task, self.method.name, self.protocol.seed),
            ingredients=key.ingredients,
        )

    def run(self, index: tuple[int, int], set_hash: str, folder: Path, set_key: str) -> PlannedRun:
        """One training of the cell, given the hash of its set."""
        set_index, seed_index = index
        # Without the method: methods are compared on common random numbers; so are recipes.
        seed = seed_of(
            "train",
            task=self.id.task,
            learner=self.learner.name.partition("@")[0],
            set_index=set_index,
            seed_index=seed_index,
            protocol=self.protocol.seed,
        )
        key = run_key(
            set_hash=set_hash,
            learner=self.learner.name,
            recipe=self.learner.params(),
            learner_version=self.learner.version,
            models=self.run_models,
            test=self.facts.test,
            metric=self.metric,
            seed=None if self.learner.deterministic else seed,
        )
        return PlannedRun(
            run_key=key.digest,
            set_key=set_key,
            set_hash=set_hash,
            folder=folder,
            seed=0 if self.learner.deterministic else seed,
            ingredients=key.ingredients,
        )


@dataclass(frozen=True)
class SkippedCell:
    """A cell that cannot be run here, and why."""

    plan: CellPlan
