"""Tasks: what is classified, where it lies, and how it is scored. A spec, without data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmark.core.errors import InputError

METRICS = ("accuracy", "accuracy_f1", "matthews", "macro_f1")


@dataclass(frozen=True)
class Carve:
    """Fractions cut off the training rows for tasks that have no labelled test split.

    The cut is stratified by class and drawn with `seed`, so everyone gets the same rows.
    """

    dev: float
    test: float
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dev < 0 or self.test <= 0 or self.dev + self.test >= 1:
            raise InputError("carve: dev (0 or more) and test (above 0) must sum to less than 1")


@dataclass(frozen=True)
class Task:
    """A frozen description of one classification task.

    `dataset` is a hub repository id, or `package:DISTRIBUTION/PATH` for a file that an installed
    Python package ships. `text` has one column, or two for sentence pairs. `classes` are in label
    order. `revision` is the pinned hub commit, None where no pin is known. `where` keeps only the
    rows whose columns have these values. `threshold` turns a numeric label column into two
    classes (below, at or above). `rows` are the known numbers of rows by split, asserted on load.
    """

    name: str
    dataset: str
    text: tuple[str, ...]
    label: str
    classes: tuple[str, ...]
    config: str = "default"
    train: str = "train"
    test: str = "test"
    metric: str = "accuracy"
    revision: str | None = None
    group: str | None = None
    threshold: float | None = None
    sha256: str | None = None
    where: dict[str, Any] = field(default_factory=dict)
    carve: Carve | None = None
    rows: dict[str, int] = field(default_factory=dict)
    note: str = ""

    @property
    def is_pair(self) -> bool:
        """Whether an example is a pair of texts."""
        return len(self.text) == 2

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)
