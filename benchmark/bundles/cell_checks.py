"""What a bundle says of its cells, held to what is registered here: method, budget, keys, facts.

What a page prints beside the scores (`info`) is made anew from the catalogue and the data, so that
a bundle has no say in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmark.budgets import budgets_named
from benchmark.bundles.findings import Findings
from benchmark.cells import Cell, TaskFacts, cell_info
from benchmark.core.catalogue import Protocol, Suite
from benchmark.core.data import TaskData
from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.keys import canonical_json, set_key
from benchmark.core.learner import Learner
from benchmark.core.library import Library
from benchmark.core.method import METHODS, Budget, Method
from benchmark.core.records import CellId
from leaderboards.rows import parse

SUBMITTED, GIVEN = "submitted", "given"
SAMPLINGS = ("independent", "one set")


@dataclass(frozen=True)
class Claim:
    """A cell of the bundle: its rows, what they say of it, and what is registered under its name.

    `method` is None where the name is not registered here, or the sets were made elsewhere.
    """

    id: CellId
    rows: pd.DataFrame
    info: Mapping[str, Any]
    method: Method | None
    learner: Learner
    protocol: Protocol

    @property
    def is_submitted(self) -> bool:
        """Whether the sets were made elsewhere, and scored here (the verb `score`)."""
        return self.info.get("submitted") is True


class CellChecks:
    """The checks of one task's cells that need its data and its sets."""

    def __init__(self, data: TaskData, library: Library, suite: str, findings: Findings) -> None:
        self.data, self.library, self.findings = data, library, findings
        catalogue = library.catalogue
        self.suite = catalogue.suites.get(suite) or Suite(suite, tuple(catalogue.tasks))
        self._places = catalogue.places(self.suite)
        self._facts = TaskFacts.of(data)

    def claim(self, cell: CellId, rows: pd.DataFrame, learner: Learner) -> Claim:
        """Read what the rows say of a cell; what is wrong with it is a problem."""
        info = parse(rows["info"].iloc[0])
        name, given = str(info.get("protocol")), info.get("submitted") is True
        protocol = self.library.catalogue.protocols.get(name)
        if protocol is None and not (given and name == SUBMITTED):
            self._problem(cell, f"protocol {name[:80]!r} is none of the catalogue")
        protocol = protocol or Protocol(name)
        method = self._method(cell) if not given and cell.method in METHODS.names() else None
        return Claim(cell, rows, info, method, learner, protocol)

    def run(self, claim: Claim, sets: Mapping[str, DistilledSet]) -> str:
        """Check a cell and return what pages may say of it, as JSON."""
        self._check_facts(claim)
        self._check_sampling(claim)
        one_each = self._check_indices(claim)
        self._check_distinct(claim)
        made = {key: sets[key] for key in dict.fromkeys(claim.rows.set_hash) if key in sets}
        budgets = self._check_budget(claim, made)
        if one_each and budgets:
            self._check_set_keys(claim, budgets)
        return canonical_json(self._info(claim))

    def _method(self, cell: CellId) -> Method | None:
        """Build a registered method with the cell's parameters."""
        try:
            method = METHODS.build(cell.method, parse(cell.params))
            params = canonical_json(method.params())
        except (InputError, ValueError) as error:
            self._problem(cell, f"no such parameters: {error}")
            return None
        if params != cell.params:
            self._problem(cell, "its parameters are not written as the method writes them")
            return None
        return method

    def _check_facts(self, claim: Claim) -> None:
        known = {
            "n_classes": self.data.task.n_classes,
            "train_rows": self._facts.train_rows,
            "test_rows": self._facts.test_rows,
            "dropped_rows": self._facts.dropped,
            "revision": self.data.task.revision or "",
        }
        if len({*claim.rows["info"]}) > 1:
            self._problem(claim.id, "its rows disagree about the facts of the cell")
        for name, value in known.items():
            if name not in claim.info and not claim.is_submitted:
                self._problem(claim.id, f"its rows do not say {name}")
            elif (said := claim.info.get(name, value)) != value:
                self._problem(claim.id, f"{name} is {said!r}, the pinned data have {value!r}")
        if claim.info.get("recipe") != json.loads(canonical_json(claim.learner.params())):
            self._problem(claim.id, "its recipe is not that of the learner")

    def _check_sampling(self, claim: Claim) -> None:
        said, resampled = claim.info.get("sampling"), f"resampled {claim.protocol.resample:.0%}"
        if claim.is_submitted:
            possible: tuple[str, ...] = (GIVEN,)
        elif claim.method is None:
            possible = (*SAMPLINGS, resampled)
        elif claim.method.budget == "none":
            possible = ("one set",)
        elif not claim.method.deterministic:
            possible = ("independent",)
        else:
            possible = (resampled, *(("one set",) if claim.rows.planned_sets.iloc[0] == 1 else ()))
        if said not in possible:
            self._problem(
                claim.id, f"sampling {str(said)[:80]!r}, where {' or '.join(possible)} is possible"
            )

    def _check_indices(self, claim: Claim) -> bool:
        """Whether each set index stands for one set, whatever the seed."""
        per_index = claim.rows.groupby("set_index")[["set_hash", "set_key"]].nunique()
        if (per_index > 1).any(axis=None):
            self._problem(claim.id, "the seeds of one set index were trained on different sets")
            return False
        return True

    def _check_distinct(self, claim: Claim) -> None:
        """One set under all indices has no variance, whatever its rows are made to say.

        With one row a class there may be no choice: the row next to the mean of a class is one.
        """
        planned, distinct = int(claim.rows.planned_sets.iloc[0]), claim.rows.set_hash.nunique()
        if distinct >= planned:
            return
        may_be_one = claim.id.dpc == "1" or (
            claim.method is not None and claim.method.deterministic
        )
        if distinct == 1 and not may_be_one:
            self._problem(claim.id, f"one set stands for all {planned}")
        else:
            self.findings.note(f"{claim.id.label}: {distinct} of its {planned} sets are distinct")

    def _check_budget(self, claim: Claim, sets: Mapping[str, DistilledSet]) -> list[Budget]:
        """Check the rows of each class in each set; return the budgets that the DPC can mean."""
        cell, kind = claim.id, claim.method.budget if claim.method else "exact"
        if (cell.dpc == "0") != (kind == "none"):
            if claim.method is None and cell.dpc == "0":  # verified to be all training rows
                return [Budget(self._facts.class_counts)]
            self._problem(cell, "DPC 0 is for methods that keep all rows, and for no others")
            return []
        budgets = budgets_named(cell.dpc, self._facts.class_counts)
        if not budgets:
            self._problem(cell, "no number of rows of this task is printed as this DPC")
        for key, made in sets.items() if kind != "none" else ():
            rows = np.bincount(made.hard_labels, minlength=self.data.task.n_classes)
            fits = [b for b in budgets if _fits(rows, b, made.is_soft, claim.method)]
            if budgets and not fits:
                counts = "+".join(map(str, rows[:10])) + ("+…" if len(rows) > 10 else "")
                self._problem(
                    cell,
                    f"set {key[:12]} has {len(made)} rows, {counts} by class, which is not the "
                    f"budget ({kind})",
                )
                return []
            budgets = fits or budgets
        return budgets

    def _check_set_keys(self, claim: Claim, budgets: list[Budget]) -> None:
        """Compute set keys again, where all that they are made of is here."""
        if claim.is_submitted:
            keys = self._given_key
        elif claim.method is None:
            self.findings.note(
                f"method {claim.id.method}: not registered here, so its set keys and parameters "
                "were not checked"
            )
            return
        else:
            made = self._made_keys(claim, claim.method, budgets)
            if made is None:
                return
            keys = made
        for index, group in claim.rows.groupby("set_index"):
            if group.set_key.iloc[0] not in keys(claim, int(index), group.set_hash.iloc[0]):
                self._problem(
                    claim.id,
                    f"set {index}: its set key is not that of this method, its parameters and "
                    "version, this pool, budget and set index",
                )
                return

    def _made_keys(
        self, claim: Claim, method: Method, budgets: list[Budget]
    ) -> Callable[[Claim, int, str], set[str]] | None:
        library = self.library
        try:
            encoders = {name: library.encoder_fingerprint(name) for name in method.encoders}
            models = {name: library.model_fingerprint(name) for name in method.models}
        except UnavailableError:
            self.findings.note(
                f"method {method.name}: its encoder or model is not here, so its set keys were not "
                "checked"
            )
            return None
        except (InputError, ValueError) as error:  # a crossed method of others that are not here
            self._problem(claim.id, str(error))
            return None
        resampled = str(claim.info.get("sampling")).startswith("resampled")
        cells = [
            Cell(
                id=claim.id, method=method, learner=claim.learner, budget=budget, n_sets=1,
                n_seeds=1, fraction=claim.protocol.resample if resampled else 1.0,
                facts=self._facts, protocol=claim.protocol, metric=self.data.task.metric,
                set_encoders=encoders, run_models={}, set_models=models, info={},
            )
            for budget in budgets
        ]  # fmt: skip
        return lambda _, index, key: {cell.set_key(index).digest for cell in cells}

    def _given_key(self, claim: Claim, index: int, set_hash: str) -> set[str]:
        key = set_key(
            method=f"submitted:{claim.id.method}",
            params={"hash": set_hash},
            method_version=1,
            pool=self._facts.pool,
            dpc=0,
            set_index=index,
            protocol_seed=0,
            encoders={},
        )
        return {key.digest}

    def _info(self, claim: Claim) -> dict[str, Any]:
        """Facts for pages, with the catalogue's order and notes."""
        tasks, last = self.suite.tasks, len(self._places)
        place = {
            "task_order": tasks.index(claim.id.task) if claim.id.task in tasks else len(tasks),
            "method_order": self._places.get(claim.id.method, last),
            "learner_order": self._places.get(claim.id.learner, last),
        }
        note = claim.method.note if claim.method else ""
        made = cell_info(
            place,
            self.data.task,
            self._facts,
            note,
            str(claim.info.get("sampling")),
            claim.protocol.name,
            claim.learner.params(),
        )
        return made | {"submitted": claim.is_submitted}

    def _problem(self, cell: CellId, text: str) -> None:
        self.findings.problem(f"{cell.label}: {text}")


def _fits(rows: np.ndarray, budget: Budget, is_soft: bool, method: Method | None) -> bool:
    """Whether a set has the rows of a budget in each class, or the multiple that its method makes.

    A soft label need not be most probable in its own class, so that only all rows are counted.
    """
    wanted = np.array(budget.per_class)
    if is_soft:
        rows, wanted = rows.sum(keepdims=True), wanted.sum(keepdims=True)
    if method is None or method.budget == "exact":
        return np.array_equal(rows, wanted)
    times = getattr(method, "times", None) or max(1, int(rows.sum() // wanted.sum()))
    return np.array_equal(rows, wanted * times)
