"""The sets of a bundle: their hashes, sizes and overlaps computed again, and test rows in them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.bundles.findings import Findings
from benchmark.core.data import TaskData
from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import BenchmarkError
from benchmark.core.library import Library
from benchmark.frame import FACTS
from benchmark.set_facts import set_facts
from evaluators.containment import RowFinder

TOLERANCE = 1e-9
"""Scores and shares are sums of whole numbers divided once; machines agree far below this."""

SIZES = {"set_rows": "rows", "set_words": "words", "set_bytes": "bytes", "set_floats": "floats"}


class SetChecks:
    """The sets of one task, by content hash, once they are checked.

    `sets` holds those that could be read, `inside` the places of the test rows that each one holds.
    `rows` are the bundle's; figures of a set that are not in them are filled in.
    """

    def __init__(
        self,
        folder: Path,
        rows: pd.DataFrame,
        data: TaskData,
        library: Library,
        findings: Findings,
    ) -> None:
        self.folder, self.rows, self.data, self.library = folder, rows, data, library
        self.findings = findings
        self.sets: dict[str, DistilledSet] = {}
        self.inside: dict[str, np.ndarray] = {}

    def run(self) -> None:
        """Check every set that the rows name."""
        for key, group in self.rows.groupby("set_hash", sort=True):
            self._set(str(key), group)
        if unread := sum(made.columns is None for made in self.sets.values()):
            self.findings.note(
                f"task {self.data.task.name}: {unread} sets are embeddings; whether they were made "
                "from test rows cannot be checked"
            )

    def _set(self, key: str, rows: pd.DataFrame) -> None:
        whole = set(rows.dpc) == {"0"}
        try:
            made = self.whole if whole else DistilledSet.load(self.folder / "sets" / key)
        except BenchmarkError as error:
            self._problem(key, str(error))
            return
        if made.content_hash != key:
            self._problem(key, f"its texts hash to {made.content_hash[:12]}")
        if made.classes != self.data.task.classes:
            self._problem(key, "its classes are not the task's")
            return
        facts = {name: float(made.size()[size]) for name, size in SIZES.items()}
        if made.columns is not None:
            if list(made.columns) != list(self.data.task.text):
                self._problem(key, "its text columns are not the task's")
                return
            if not whole:
                found = set_facts(made, self.data, self.library)
                facts |= {name: found[fact] for name, fact in FACTS.items() if fact in found}
            self.inside[key] = self._test_rows(key, made, whole)
        self.sets[key] = made
        for name, value in facts.items():
            said = rows[name].to_numpy()
            if np.isnan(said).all():  # rows of an earlier version, or of sets made elsewhere
                self.rows.loc[rows.index, name] = value
            elif not np.allclose(said, value, rtol=0, atol=TOLERANCE, equal_nan=True):
                self._problem(key, f"{name} is {said[0]:g}, its texts give {value:g}")

    @cached_property
    def whole(self) -> DistilledSet:
        """The set of all training rows, which no bundle holds."""
        pool = self.data.pool
        return DistilledSet.of_texts(pool.texts(), pool.labels, pool.classes)

    @cached_property
    def _finder(self) -> RowFinder:
        return RowFinder(self.data.test.columns)

    @cached_property
    def _shared(self) -> set[int]:
        """Test rows that stand in the training pool as well, or inside its texts."""
        return self._finder.found(self.data.pool.texts())

    def _test_rows(self, key: str, made: DistilledSet, whole: bool) -> np.ndarray:
        """Return the test rows that a set holds; one that no training row holds is a problem."""
        assert made.columns is not None
        found = self._shared if whole else self._finder.found(made.columns)
        if found and (stolen := found - self._shared):
            self._problem(
                key,
                f"{len(stolen)} test rows stand in its texts and not in the training pool",
            )
        return np.array(sorted(found), dtype=np.int64)

    def _problem(self, key: str, text: str) -> None:
        self.findings.problem(f"set {key[:12]}: {text}")
