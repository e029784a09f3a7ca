"""The runs of a cell: keys and scores computed again, and predictions where that is quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmark.bundles.arrays import read_predictions
from benchmark.bundles.cell_checks import Claim
from benchmark.bundles.findings import Findings
from benchmark.bundles.retraining import disagreements, why_not
from benchmark.bundles.set_checks import TOLERANCE, SetChecks
from benchmark.core.data import TaskData
from benchmark.core.errors import UnavailableError
from benchmark.core.keys import run_key
from benchmark.core.learner import Learner
from benchmark.core.library import Library
from benchmark.core.records import CellId
from benchmark.core.seeding import seed_of
from benchmark.predictions import file_name
from evaluators.fairness import fairness
from evaluators.scoring import score
from evaluators.word_overlap import half_scores, low_half
from leaderboards.rows import FAIRNESS, HALVES, METRICS


@dataclass(frozen=True)
class Contamination:
    """A cell whose sets hold rows of the test split, and its score without those test rows."""

    cell: CellId
    sets: int
    test_rows: int
    score: float
    score_without: float


class RunChecks:
    """The checks of one task's runs.

    `contaminated` holds what is allowed and shown: test rows that the training pool holds as well.
    `unproven` counts the cells of each learner whose predictions are the submitter's word, `proven`
    those whose predictions training again has given.
    """

    def __init__(
        self, folder: Path, data: TaskData, library: Library, sets: SetChecks, findings: Findings
    ) -> None:
        self.folder, self.data, self.library = folder, data, library
        self.made, self.findings = sets, findings
        self.contaminated: list[Contamination] = []
        self.proven = 0
        self.unproven: dict[str, int] = {}
        self._scores: dict[tuple[str, bytes], dict[str, float]] = {}

    def run(self, claim: Claim) -> None:
        """Check a cell's run keys, then its scores, then its predictions."""
        self._run_keys(claim)
        found = self._read(claim)
        if found is not None and self._check_scores(claim, found):
            self._count_contamination(claim, found)
            self._train_again(claim, found)

    def _run_keys(self, claim: Claim) -> None:
        """Compute run keys again: they bind set, learner, recipe, model files, test data, seed."""
        cell, learner = claim.id, claim.learner
        try:
            models = self._models(learner)
        except UnavailableError:
            self.findings.note(
                f"learner {cell.learner}: its model is not here, run keys were not checked"
            )
            return
        for line in claim.rows.itertuples(index=False):
            seed = seed_of(
                "train",
                task=cell.task,
                learner=cell.learner.partition("@")[0],
                set_index=line.set_index,
                seed_index=line.seed_index,
                protocol=claim.protocol.seed,
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
                self.findings.problem(
                    f"{cell.label}, set {line.set_index}, seed {line.seed_index}: its run key is "
                    "not that of this set, learner, recipe, model, test split and seed"
                )
                return

    def _models(self, learner: Learner) -> dict[str, str]:
        for name in learner.models:
            if self.library.catalogue.model(name).revision is None:
                self.findings.note(f"learner {learner.name}: its model has no pinned revision")
        return {
            **{name: self.library.model_fingerprint(name) for name in learner.models},
            **{name: self.library.encoder_fingerprint(name) for name in learner.encoders},
        }

    def _read(self, claim: Claim) -> dict[str, np.ndarray] | None:
        """Return the predictions of every run of a cell, None where they are not as they should."""
        keys, n_classes = set(claim.rows.run_key), self.data.task.n_classes
        path = self.folder / "predictions" / file_name(claim.id)
        if not path.is_file():
            return self._refuse(claim, "there is no file of them")
        try:
            found = dict(read_predictions(path, len(self.data.test.labels), keys))
        except ValueError as error:
            return self._refuse(claim, str(error)[:200])
        if missing := keys - found.keys():
            return self._refuse(claim, f"{len(missing)} runs have none")
        for key, predicted in found.items():
            if predicted.max() >= n_classes:
                return self._refuse(
                    claim, f"run {key[:12]} has not one class a test row of {n_classes} classes"
                )
        return found

    def _refuse(self, claim: Claim, why: str) -> None:
        self.findings.problem(f"predictions of {claim.id.label}: {why}")

    def _check_scores(self, claim: Claim, found: Mapping[str, np.ndarray]) -> bool:
        """Whether the rows say what their predictions give, in every metric."""
        labels, task = self.data.test.labels, self.data.task
        for line in claim.rows.itertuples():
            predicted = found[line.run_key]
            again = self._score(line.run_key, predicted)
            if task.is_pair:
                again |= half_scores(predicted, labels, self._low_half)
            if self.data.test.groups is not None:
                again |= fairness(predicted, labels, self.data.test.groups, task.n_classes)
            said = {name: getattr(line, name) for name in (*METRICS, *HALVES, *FAIRNESS)}
            said["score"], again["score"] = line.score, again[task.metric]
            for name, value in said.items():
                if name in again and name in (*HALVES, *FAIRNESS) and np.isnan(value):
                    self.made.rows.at[line.Index, name] = again[name]  # rows of an earlier version
                elif not np.isclose(value, again.get(name, np.nan), 0, TOLERANCE, equal_nan=True):
                    run = f"{claim.id.label}, set {line.set_index}, seed {line.seed_index}"
                    self.findings.problem(
                        f"{run}: {name} is {value:.6g}, its predictions give "
                        f"{again.get(name, np.nan):.6g}"
                    )
                    return False
        return True

    def _count_contamination(self, claim: Claim, found: Mapping[str, np.ndarray]) -> None:
        """Score again without the test rows that the sets hold."""
        inside = self.made.inside
        held = {key: inside[key] for key in set(claim.rows.set_hash) if len(inside.get(key, ()))}
        if not held:
            return
        none = np.zeros(0, np.int64)
        without = [
            self._score(line.run_key, found[line.run_key], held.get(line.set_hash, none))
            for line in claim.rows.itertuples(index=False)
        ]
        self.contaminated.append(
            Contamination(
                claim.id,
                len(held),
                len(np.unique(np.concatenate(list(held.values())))),
                claim.rows.score.mean(),
                float(np.mean([one[self.data.task.metric] for one in without])),
            )
        )

    def _train_again(self, claim: Claim, found: Mapping[str, np.ndarray]) -> None:
        """Hold predictions to those that training on the sets gives, where that is quick."""
        cell, sets = claim.id, self.made.sets
        if why_not(claim.learner, self.library):
            self.unproven[cell.learner] = self.unproven.get(cell.learner, 0) + 1
            return
        first = claim.rows.drop_duplicates("set_hash")
        first = first[first.set_hash.isin(sets.keys())]
        predicted = {h: found[k] for h, k in zip(first.set_hash, first.run_key, strict=True)}
        wrong, close = disagreements(
            claim.learner, {h: sets[h] for h in predicted}, predicted, self.library, cell.task
        )
        for key, why in wrong.items():
            index = first["set_index"][first.set_hash == key].iloc[0]
            self.findings.problem(f"{cell.label}, set {index}: {why}")
            return
        if close:
            self.findings.note(
                f"{cell.label}: {close} predictions are of classes that are as good as equal, and "
                "another one is predicted here"
            )
        self.proven += 1

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
            self._scores[known] = (
                score(task.metric, predicted[kept], labels[kept], task.n_classes)
                if kept.any()
                else {task.metric: float("nan")}
            )
        return dict(self._scores[known])

    @cached_property
    def _low_half(self) -> np.ndarray:
        return low_half(self.data.test.columns)
