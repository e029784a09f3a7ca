"""What a bundle says of one task, computed again from the task's own data."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.bundles.arrays import read_predictions
from benchmark.core.data import TaskData
from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import BenchmarkError, UnavailableError
from benchmark.core.keys import run_key
from benchmark.core.learner import Learner, build_learner
from benchmark.core.library import Library
from benchmark.core.method import METHODS
from benchmark.core.records import CellId
from benchmark.core.seeding import seed_of
from benchmark.frame import FACTS
from benchmark.predictions import file_name
from benchmark.set_facts import set_facts
from evaluators.audits import normalise
from evaluators.fairness import fairness
from evaluators.scoring import score
from evaluators.word_overlap import half_scores, low_half
from leaderboards.rows import CELL, FAIRNESS, HALVES, METRICS, QUALITY, parse

TOLERANCE = 1e-9
"""Scores are sums of whole numbers divided once; any two machines agree far below this."""

SIZES = {"set_rows": "rows", "set_words": "words", "set_bytes": "bytes", "set_floats": "floats"}


@dataclass(frozen=True)
class Contamination:
    """A cell whose sets hold rows of the test split, and its score without those test rows."""

    cell: CellId
    sets: int
    test_rows: int
    score: float
    score_without: float


class TaskChecks:
    """The checks of one task's rows, which need its data.

    `problems` and `notes` grow while they run; `contaminated` holds what is allowed and shown: test
    rows whose text stands in the training pool as well.
    """

    def __init__(self, folder: Path, rows: pd.DataFrame, data: TaskData, library: Library) -> None:
        self.folder, self.rows, self.data, self.library = folder, rows, data, library
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.contaminated: list[Contamination] = []
        self._sets: dict[str, DistilledSet] = {}
        self._inside: dict[str, np.ndarray] = {}
        self._scores: dict[tuple[str, bytes], dict[str, float]] = {}

    def run(self, protocol_seed: int) -> None:
        """Make all checks: the task's facts, the sets, then each cell."""
        task = self.data.task
        self._facts()
        for key, group in self.rows.groupby("set_hash", sort=True):
            self._set(str(key), group)
        for values, cell in self.rows.groupby(CELL, sort=False):
            self._budget(CellId(*values), cell)
            self._run_keys(CellId(*values), cell, protocol_seed)
            self._predictions(CellId(*values), cell)
        if task.revision is None and not task.dataset.startswith("package:"):
            self.notes.append(f"task {task.name}: its data have no pinned revision")

    def _facts(self) -> None:
        task, pool = self.data.task, self.data.pool
        known = {
            "n_classes": task.n_classes,
            "train_rows": len(pool),
            "test_rows": len(self.data.test.labels),
            "dropped_rows": pool.dropped,
            "revision": task.revision or "",
        }
        for text in sorted(set(self.rows["info"])):
            for name, value in known.items():
                said = parse(text).get(name, value)
                if said != value:
                    self._problem(f"{name} is {said!r}, the pinned data have {value!r}")
        if odd := sorted(set(self.rows.metric) - {task.metric}):
            self._problem(f"metric {odd[0]!r}, the task's is {task.metric!r}")

    def _set(self, key: str, rows: pd.DataFrame) -> None:
        """Read a set, compute its hash, sizes and overlaps again, and find test rows in it."""
        whole = set(rows.dpc) == {"0"}
        try:
            made = self._whole if whole else DistilledSet.load(self.folder / "sets" / key)
        except BenchmarkError as error:
            self._problem(f"set {key[:12]}: {error}")
            return
        self._sets[key] = made
        if made.content_hash != key:
            self._problem(f"set {key[:12]}: its texts hash to {made.content_hash[:12]}")
        if made.classes != self.data.task.classes:
            self._problem(f"set {key[:12]}: its classes are not the task's")
        facts = {name: float(made.size()[size]) for name, size in SIZES.items()}
        if made.columns is not None:
            if list(made.columns) != list(self.data.task.text):
                self._problem(f"set {key[:12]}: its text columns are not the task's")
                return
            if not whole:
                found = set_facts(made, self.data, self.library)
                facts |= {name: found[fact] for name, fact in FACTS.items() if fact in found}
            self._inside[key] = self._test_rows(key, made)
        for name, value in facts.items():
            said = rows[name].to_numpy()
            if name in QUALITY and np.isnan(said).all():
                continue  # rows of an earlier version
            if not np.allclose(said, value, rtol=0, atol=TOLERANCE, equal_nan=True):
                self._problem(f"set {key[:12]}: {name} is {said[0]:g}, its texts give {value:g}")

    @cached_property
    def _whole(self) -> DistilledSet:
        pool = self.data.pool
        return DistilledSet.of_texts(pool.texts(), pool.labels, pool.classes)

    @cached_property
    def _test_places(self) -> Mapping[tuple[str, ...], list[int]]:
        places: dict[tuple[str, ...], list[int]] = {}
        for place, row in enumerate(_rows_of(self.data.test.columns)):
            places.setdefault(row, []).append(place)
        return places

    @cached_property
    def _low_half(self) -> np.ndarray:
        return low_half(self.data.test.columns)

    @cached_property
    def _shared(self) -> set[tuple[str, ...]]:
        """Texts that stand in both the test split and the pool."""
        return self._test_places.keys() & set(_rows_of(self.data.pool.texts()))

    def _test_rows(self, key: str, made: DistilledSet) -> np.ndarray:
        """Return the test rows whose text a set holds; no training row having it is a problem."""
        found = {row for row in _rows_of(made.columns) if row in self._test_places}
        if stolen := found - self._shared:
            self._problem(
                f"set {key[:12]}: {len(stolen)} of its texts stand in the test split and not in "
                "the training pool"
            )
        places = [place for row in found for place in self._test_places[row]]
        return np.array(sorted(places), dtype=np.int64)

    def _budget(self, cell: CellId, rows: pd.DataFrame) -> None:
        """Check that the sets have the rows of the DPC, unless the method's budget is none."""
        known = cell.method in METHODS.names() and not parse(rows["info"].iloc[0]).get("submitted")
        if known and METHODS.cls(cell.method).budget != "exact":
            return
        mean = rows.drop_duplicates("set_index").set_rows.mean() / self.data.task.n_classes
        if not np.isclose(mean, float(cell.dpc), rtol=1e-3):
            self._problem(f"{cell.label}: its sets have {mean:.4g} rows a class")

    def _run_keys(self, cell: CellId, rows: pd.DataFrame, protocol_seed: int) -> None:
        """Compute run keys again: they bind set, learner, recipe, model files, test data, seed."""
        try:
            learner = build_learner(cell.learner)
            models = self._models(learner)
        except UnavailableError:
            self._note(f"learner {cell.learner}: its model is not here, run keys were not checked")
            return
        except BenchmarkError as error:
            self._problem(f"{cell.label}: {error}")
            return
        recipe = parse(rows["info"].iloc[0]).get("recipe")
        if recipe != json.loads(json.dumps(learner.params())):
            self._problem(f"{cell.label}: its recipe is not that of the learner")
        for line in rows.itertuples(index=False):
            seed = seed_of(
                "train",
                task=cell.task,
                learner=cell.learner.partition("@")[0],
                set_index=line.set_index,
                seed_index=line.seed_index,
                protocol=protocol_seed,
            )
            key = run_key(
                set_hash=line.set_hash,
                learner=cell.learner,
                recipe=learner.params(),
                learner_version=learner.version,
                models=models,
                test=self.data.test.fingerprint,
                metric=self.data.task.metric,
                seed=None if learner.deterministic else seed,
            )
            if key.digest != line.run_key:
                self._problem(
                    f"{cell.label}, set {line.set_index}, seed {line.seed_index}: its run key is "
                    "not that of this set, learner, recipe, model, test split and seed"
                )
                return

    def _models(self, learner: Learner) -> dict[str, str]:
        for name in learner.models:
            if self.library.catalogue.model(name).revision is None:
                self._note(f"learner {learner.name}: its model has no pinned revision")
        return {
            **{name: self.library.model_fingerprint(name) for name in learner.models},
            **{name: self.library.encoder_fingerprint(name) for name in learner.encoders},
        }

    def _predictions(self, cell: CellId, rows: pd.DataFrame) -> None:
        """Score a cell's predictions again, also without test rows that its sets hold."""
        keys = set(rows.run_key)
        try:
            found = dict(
                read_predictions(self.folder / "predictions" / file_name(cell), self._limit, keys)
            )
        except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
            self._problem(f"predictions of {cell.label}: {str(error)[:200]}")
            return
        if missing := keys - found.keys():
            self._problem(f"predictions of {cell.label}: {len(missing)} runs have none")
            return
        labels, n_classes = self.data.test.labels, self.data.task.n_classes
        without, test_rows, touched = [], set(), set()
        for line in rows.itertuples(index=False):
            predicted = found[line.run_key]
            if predicted.shape != labels.shape or predicted.max() >= n_classes:
                self._problem(
                    f"predictions of {cell.label}: run {line.run_key[:12]} has not one class a "
                    f"test row, {len(labels):,} of {n_classes} classes"
                )
                return
            again = self._score(line.run_key, predicted)
            if self.data.task.is_pair:
                again |= half_scores(predicted, labels, self._low_half)
            if self.data.test.groups is not None:
                again |= fairness(predicted, labels, self.data.test.groups, n_classes)
            said = {name: getattr(line, name) for name in (*METRICS, *HALVES, *FAIRNESS)}
            said["score"] = line.score
            again["score"] = again[self.data.task.metric]
            for name, value in said.items():
                if name in (*HALVES, *FAIRNESS) and np.isnan(value):
                    continue  # rows of an earlier version
                if not np.isclose(value, again.get(name, np.nan), 0, TOLERANCE, equal_nan=True):
                    self._problem(
                        f"{cell.label}, set {line.set_index}, seed {line.seed_index}: {name} is "
                        f"{value:.6g}, its predictions give {again.get(name, np.nan):.6g}"
                    )
                    return
            inside = self._inside.get(line.set_hash, np.zeros(0, np.int64))
            if len(inside):
                touched.add(line.set_hash)
                test_rows |= set(inside.tolist())
            without.append(self._score(line.run_key, predicted, inside)[self.data.task.metric])
        if touched:
            self.contaminated.append(
                Contamination(
                    cell, len(touched), len(test_rows), rows.score.mean(), float(np.mean(without))
                )
            )

    def _score(
        self, key: str, predicted: np.ndarray, left_out: np.ndarray | None = None
    ) -> dict[str, float]:
        """Score predictions, once for runs that share a key."""
        left_out = np.zeros(0, np.int64) if left_out is None else left_out
        known = (key, left_out.tobytes())
        if known not in self._scores:
            kept = np.ones(len(predicted), dtype=bool)
            kept[left_out] = False
            labels, task = self.data.test.labels, self.data.task
            self._scores[known] = score(task.metric, predicted[kept], labels[kept], task.n_classes)
        return dict(self._scores[known])

    @property
    def _limit(self) -> int:
        return 8 * len(self.data.test.labels) + 1024

    def _problem(self, text: str) -> None:
        self.problems.append(f"task {self.data.task.name}: {text}")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _rows_of(columns: Mapping[str, tuple[str, ...]]) -> list[tuple[str, ...]]:
    return [tuple(map(normalise, row)) for row in zip(*columns.values(), strict=True)]
