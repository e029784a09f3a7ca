"""Sets made elsewhere, as cells like any other: same keys, same runner, marked as submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.availability import missing_for, task_facts, with_models
from benchmark.cells import Cell, SkippedCell
from benchmark.core.catalogue import Protocol, Suite
from benchmark.core.distilled import DistilledSet
from benchmark.core.keys import Key, canonical_json, set_key
from benchmark.core.learner import build_learner, expand_panels
from benchmark.core.library import Library
from benchmark.core.method import Budget, Method
from benchmark.core.records import CellId, SetRecord, Status
from benchmark.plan import Plan

SUITE = "submitted"


@dataclass(frozen=True)
class Submitted(Method):
    """Stands for a method that is not here; its sets are given."""

    label: str = ""

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name that the submitter gave."""
        return self.label

    def distil(self, pool: Any, budget: Any, rng: Any, state: Any = None) -> DistilledSet:
        """Never called: the sets are in the store before any work starts."""
        raise AssertionError("a submitted set is given, not distilled")


@dataclass(frozen=True)
class SubmittedCell(Cell):
    """A cell whose sets are given."""

    keys: tuple[Key, ...] = field(default=())

    def set_key(self, set_index: int) -> Key:
        """Key of one of the given sets."""
        return self.keys[set_index]

    def owned_key(self, set_index: int) -> str | None:
        """Key of a given set; there are no others."""
        return self.keys[set_index].digest if set_index < len(self.keys) else None


def submitted_plan(
    library: Library,
    task_name: str,
    name: str,
    sets: Sequence[tuple[str, DistilledSet]],
    learners: Sequence[str],
    seeds: int,
) -> tuple[Plan, list[tuple[SetRecord, DistilledSet]]]:
    """Plan the scoring of given sets; returns the plan, and the sets with their records."""
    built = [build_learner(learner) for learner in expand_panels(learners)]
    task = library.catalogue.task(task_name)
    facts, why = task_facts(library, task_name)
    protocol = Protocol("submitted", sets=len(sets), seeds=seeds)
    method = Submitted(name)
    keys = [
        set_key(
            method=f"submitted:{name}",
            params={"hash": distilled.content_hash},
            method_version=1,
            pool=facts.pool if facts else "",
            dpc=0,
            set_index=index,
            protocol_seed=0,
            encoders={},
        )
        for index, (_, distilled) in enumerate(sets)
    ]
    rows = sum(len(distilled) for _, distilled in sets)
    dpc = f"{rows / len(sets) / task.n_classes:.4g}"
    cells: list[Cell] = []
    skipped: list[SkippedCell] = []
    for order, learner in enumerate(built):
        info: Mapping[str, Any] = {
            "task_order": 0,
            "method_order": 0,
            "learner_order": order,
            "n_classes": task.n_classes,
            "task_note": task.note,
            "train_rows": facts.train_rows if facts else 0,
            "test_rows": facts.test_rows if facts else 0,
            "sampling": "given",
            "protocol": "submitted",
            "recipe": learner.params(),
            "submitted": True,
        }
        cell = SubmittedCell(
            id=CellId(SUITE, task_name, name, canonical_json({}), dpc, learner.name),
            method=method,
            learner=learner,
            budget=Budget.dpc(1, task.n_classes),
            n_sets=len(sets),
            n_seeds=seeds,
            fraction=1.0,
            facts=facts,  # type: ignore[arg-type]
            protocol=protocol,
            metric=task.metric,
            set_encoders={},
            run_models={},
            set_models={},
            info=info,
            keys=tuple(keys),
        )
        reason = why or missing_for(library, method, learner)
        if reason:
            skipped.append(SkippedCell(cell.record(reason)))
        else:
            cells.append(with_models(library, cell))
    made = [
        (
            SetRecord(
                key.digest,
                distilled.content_hash,
                Status.OK,
                ingredients={**key.ingredients, "file": file},
                facts=dict(distilled.size()),
            ),
            distilled,
        )
        for key, (file, distilled) in zip(keys, sets, strict=True)
    ]
    suite = Suite(SUITE, (task_name,), (name,), tuple(learners))
    return Plan(suite, protocol, tuple(cells), tuple(skipped)), made
