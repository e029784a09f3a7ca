"""What work will take in wall time, from what like work took in this store.

Everything that a run waits for is counted: encoding texts, making sets, preparing and training
learners, scoring and writing, MLflow. What has no exact precedent is taken from the nearest one,
scaled by the efforts that learners declare (`benchmark.core.effort`): first from other DPC of the
same task, then from other tasks, then from other variants of the same learner.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

import numpy as np

from benchmark.cells import Cell
from benchmark.core.effort import Effort, typical_rows
from benchmark.core.features import FeatureCache
from benchmark.core.keys import features_key
from benchmark.core.learner import Learner
from benchmark.core.method import Method
from benchmark.core.outline import Outline
from benchmark.precedents import Precedent, SetPrecedent, StatePrecedent, set_effort
from benchmark.schema import MIRROR_NOTE
from benchmark.store import Store


@dataclass(frozen=True)
class Todo:
    """What a cell still needs: sets that are not made, trainings that are not done."""

    cell: Cell
    sets: int
    trainings: int


@dataclass
class Costs:
    """Measured seconds of a store.

    Attributes
    ----------
    trainings : one for each learner, task and DPC.
    preparing : seconds and effort of what a learner did once on a task, by (learner, task).
    sets : one for each method, its parameters, task and DPC.
    first_set : what the first set of a task took beyond others, and the rows of the pool.
    states : what methods learned once.
    encoding : seconds a word, by encoder.
    mirror : seconds to start MLflow, and to send a run.
    """

    trainings: list[Precedent] = field(default_factory=list)
    preparing: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    sets: list[SetPrecedent] = field(default_factory=list)
    first_set: dict[str, tuple[float, int]] = field(default_factory=dict)
    states: list[StatePrecedent] = field(default_factory=list)
    encoding: dict[str, float] = field(default_factory=dict)
    mirror: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def measured(cls, store: Store, outlines: Mapping[str, Outline] | None = None) -> Costs:
        """Read every cost that the store has; `outlines` of its tasks make efforts exact."""
        costs = cls()
        costs._read_trainings(store)
        costs._read_sets(store, outlines or {})
        notes = defaultdict(list)
        for note in FeatureCache(store.root / "features").described():
            if note.get("words") and note.get("seconds"):
                notes[note.get("encoder")].append((note["seconds"], note["words"]))
        costs.encoding = {
            name: sum(s for s, _ in found) / sum(w for _, w in found)
            for name, found in notes.items()
        }
        row = store.database.execute(
            "SELECT value FROM meta WHERE name=?", (MIRROR_NOTE,)
        ).fetchone()
        noted = json.loads(row[0]) if row else {}
        costs.mirror = (noted.get("starting", 0.0), noted.get("each", 0.0))
        return costs

    def _read_trainings(self, store: Store) -> None:
        found = store.database.execute(
            "SELECT r.learner, r.task, r.dpc, r.method, r.params, MIN(r.rowid_), u.costs FROM"
            " (SELECT *, set_index * 1000000 + seed_index AS rowid_ FROM rows) r"
            " JOIN runs u USING (run_key) WHERE u.status = 'ok' GROUP BY u.run_key"
        )
        cells: dict[tuple[str, ...], list[dict[str, float]]] = defaultdict(list)
        for learner, task, dpc, method, params, _, text in found:
            cost = json.loads(text)
            if "train_effort" in cost and "learner_seconds" in cost:
                cells[learner, task, dpc, method, params].append(cost)
        groups: dict[tuple[str, str, str], list[dict[str, float]]] = defaultdict(list)
        for (learner, task, dpc, *_), runs in cells.items():
            groups[learner, task, dpc] += runs
            harness = median(run["harness_seconds"] for run in runs)
            rest = sum(
                run["learner_seconds"] + run["harness_seconds"] - harness
                - run["train_seconds"] - run["predict_seconds"]
                for run in runs
            )  # fmt: skip
            known, _ = self.preparing.get((learner, task), (0.0, 1.0))
            self.preparing[learner, task] = (max(known, rest), runs[0]["prepare_effort"])
        for (learner, task, dpc), runs in groups.items():
            self.trainings.append(
                Precedent(
                    learner,
                    task,
                    dpc,
                    median(run["train_seconds"] for run in runs),
                    median(run["predict_seconds"] for run in runs),
                    median(run["harness_seconds"] for run in runs),
                    Effort(
                        mean(run["train_effort"] for run in runs),
                        mean(run["predict_effort"] for run in runs),
                        runs[0]["prepare_effort"],
                    ),
                )
            )

    def _read_sets(self, store: Store, outlines: Mapping[str, Outline]) -> None:
        places: dict[str, tuple[str, str, int]] = {}
        found = store.database.execute(
            "SELECT DISTINCT r.set_key, r.task, r.dpc, c.info FROM rows r"
            " JOIN cells c USING (suite, task, method, params, dpc, learner)"
        )
        for key, task, dpc, info in found:
            places[key] = (task, dpc, json.loads(info).get("train_rows", 0))
        groups: dict[tuple[str, str, str, str, int], list[float]] = defaultdict(list)
        made: dict[tuple[str, str, str, str, int], Mapping[str, Any]] = {}
        made_once: dict[tuple[str, str, str], tuple[Mapping[str, Any], Mapping[str, float]]] = {}
        for key, record in store.sets().items():
            if key in places and "job_seconds" in record.facts:
                method = str(record.ingredients.get("method"))
                params = json.dumps(record.ingredients.get("params"), sort_keys=True)
                group = (method, params, *places[key])
                if "prepare_seconds" in record.facts:
                    made_once[group[:3]] = (record.ingredients, record.facts)
                groups[group].append(record.facts["job_seconds"])
                made[group] = record.ingredients
        self.states = [
            StatePrecedent.of(made_of, task, facts)
            for (_, _, task), (made_of, facts) in made_once.items()
        ]
        for group, seconds in groups.items():
            (method, _, task, dpc, rows), usual = group, median(seconds)
            kind, effort = set_effort(made[group], task, rows, outlines)
            self.sets.append(SetPrecedent(method, kind, task, dpc, usual, effort, rows))
            beyond = max(max(seconds) - usual, self.first_set.get(task, (0.0, 0))[0])
            self.first_set[task] = (beyond, rows)

    def training(self, cell: Cell) -> float | None:
        """Seconds of one training of a cell, or None if nothing like it was measured."""
        effort = _effort(cell)
        precedent = self._nearest(cell.learner, cell.id.task, cell.id.dpc, effort)
        return None if precedent is None else precedent.scaled(effort)

    def preparation(self, cell: Cell) -> float:
        """Seconds of what a learner does once on a task; 0 if nothing like it was measured."""
        base = cell.learner.name.partition("@")[0]
        effort = _effort(cell).prepare
        for matches in (
            lambda learner, task: (learner, task) == (cell.learner.name, cell.id.task),
            lambda learner, task: learner == cell.learner.name,
            lambda learner, task: learner.partition("@")[0] == base,
        ):
            found = [value for key, value in self.preparing.items() if matches(*key)]
            if found:
                seconds, known = min(found, key=lambda item: abs(math.log(item[1] / effort)))
                return seconds * effort / known
        return 0.0

    def set(self, cell: Cell) -> float | None:
        """Seconds of one set of a cell, or None if its method was never measured.

        A method that tells its effort may have another variant of its adapter as precedent.
        """
        method = cell.method
        effort = method.effort(cell.outline, cell.budget)

        def distance(one: SetPrecedent) -> tuple[bool, bool, bool, float]:
            apart = abs(math.log(one.effort / effort))
            return (
                one.method != method.name,
                one.task != cell.id.task,
                one.dpc != cell.id.dpc,
                apart,
            )

        tells = type(method).effort is not Method.effort
        like = [
            one
            for one in self.sets
            if one.method == method.name or (tells and one.kind is type(method))
        ]
        nearest = min(like, key=distance, default=None)
        return None if nearest is None else nearest.seconds * effort / nearest.effort

    def state(self, cell: Cell) -> float | None:
        """Seconds of what a cell's method learns once per task, or None if it was never measured.

        The nearest is taken: first of the same method, then with the same parameters, then of the
        same task. Other parameters count by the efforts of the phases; another task's pool does
        not, as the steps of a training do not grow with it.
        """
        method = cell.method
        efforts, params = method.phase_efforts(), method.params()

        def distance(one: StatePrecedent) -> tuple[bool, bool, bool]:
            return one.method != method.name, one.params != params, one.task != cell.id.task

        like = [
            one
            for one in self.states
            if one.method == method.name or (efforts and one.kind is type(method))
        ]
        nearest = min(like, key=distance, default=None)
        return None if nearest is None else nearest.scaled(efforts)

    def beginning(self, cell: Cell) -> float:
        """Seconds that the first set of a task takes beyond the others (its audits' index)."""
        if not self.first_set:
            return 0.0
        rows = max(1, cell.facts.train_rows)
        seconds, its_rows = self.first_set.get(cell.id.task) or min(
            self.first_set.values(), key=lambda item: abs(math.log(max(1, item[1]) / rows))
        )
        return seconds * rows / max(1, its_rows)

    def _nearest(self, learner: Learner, task: str, dpc: str, effort: Effort) -> Precedent | None:
        base = learner.name.partition("@")[0]

        def distance(one: Precedent) -> tuple[bool, bool, bool, float]:
            apart = abs(math.log(one.effort.train / effort.train))
            return one.learner != learner.name, one.task != task, one.dpc != dpc, apart

        like = [one for one in self.trainings if one.learner.partition("@")[0] == base]
        return min(like, key=distance, default=None)


def _effort(cell: Cell) -> Effort:
    n = sum(cell.budget.per_class)
    rows = typical_rows(cell.facts.pool_words, n)
    return cell.learner.effort(rows, cell.facts.test_words, len(cell.classes))


def encodings(
    cell: Cell, store: Store, *, sets: bool, trainings: bool
) -> dict[str, tuple[str, int]]:
    """Matrices of features that a cell needs and the store lacks: key to (encoder, words)."""
    pool = (cell.facts.pool_texts, int(np.sum(cell.facts.pool_words)))
    test = (cell.facts.test_texts, int(np.sum(cell.facts.test_words)))
    wanted: list[tuple[str, str, tuple[str, int]]] = []
    if sets:
        wanted += [(name, of, pool) for name, of in cell.set_encoders.items()]
    if trainings:
        mine = [(name, cell.run_models[name]) for name in cell.learner.encoders]
        wanted += [(name, of, part) for name, of in mine for part in (test, pool)]
    cache = FeatureCache(store.root / "features")
    keys = {
        features_key(texts=texts, encoder=of).digest: (name, words)
        for name, of, (texts, words) in wanted
    }
    return {key: value for key, value in keys.items() if not cache.has(key)}
