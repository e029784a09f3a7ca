"""The catalogue: tasks, suites, learners, encoders, models and protocols, read from TOML.

Built-in data lies in `benchmark/catalogue/`; a user's `--tasks FILE` adds to it in the same form.
Every mistake is reported with file, line and key.
"""

from __future__ import annotations

import importlib.metadata
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from benchmark.core.assets import ModelSpec
from benchmark.core.encoders import PROMPTED, EncoderSpec
from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.task import METRICS, Task
from benchmark.core.toml_file import TomlFile

PLUGINS = "text_distillation.tasks"
T = TypeVar("T")


@dataclass(frozen=True)
class Protocol:
    """How often and at which budgets everything is repeated.

    `sets` distilled sets, each with `seeds` trainings, at each DPC. Deterministic methods get
    their sets from pools resampled without replacement at the fraction `resample`. `seed` shifts
    every random stream at once.
    """

    name: str
    sets: int = 20
    seeds: int = 5
    dpc: tuple[int, ...] = (5, 10, 20)
    resample: float = 0.8
    seed: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        _check_counts(self)
        if not 0 < self.resample <= 1:
            raise InputError(f"resample: {self.resample} is not above 0 and at most 1")


@dataclass(frozen=True)
class Block:
    """Further cells of a suite with repetitions of their own."""

    methods: tuple[str, ...]
    learners: tuple[str, ...]
    dpc: tuple[int, ...]
    sets: int
    seeds: int

    def __post_init__(self) -> None:
        _check_counts(self)


@dataclass(frozen=True)
class Suite:
    """A named list of tasks with default methods, learners, encoder and protocol."""

    name: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...] = ("random", "k-centers", "herding")
    learners: tuple[str, ...] = ("tfidf-lr", "tfidf-nb", "tfidf-svm")
    encoder: str | None = None
    protocol: str = "standard"
    dpc: tuple[int, ...] | None = None
    cells: tuple[Block, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class LearnerSpec:
    """A learner's name for a registered kind with these parameters."""

    name: str
    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Catalogue:
    """Everything that can be named on the command line, by kind and name."""

    tasks: dict[str, Task] = field(default_factory=dict)
    suites: dict[str, Suite] = field(default_factory=dict)
    protocols: dict[str, Protocol] = field(default_factory=dict)
    models: dict[str, ModelSpec] = field(default_factory=dict)
    encoders: dict[str, EncoderSpec] = field(default_factory=dict)
    learners: dict[str, LearnerSpec] = field(default_factory=dict)
    learner_files: dict[str, TomlFile] = field(default_factory=dict)

    @classmethod
    def load(cls, extra: Iterable[Path] = ()) -> Catalogue:
        """Read the built-in files, installed packages' and then `extra`; names must be new.

        Raises `InputError` with file, line and key.
        """
        catalogue = cls()
        folder = resources.files("benchmark") / "catalogue"
        for name in ("learners", "protocols", "tasks", "suites"):
            source = folder / f"{name}.toml"
            catalogue._add(TomlFile(f"{name}.toml", source.read_text(encoding="utf-8")))
        catalogue._add_plugins()
        for path in extra:
            catalogue._add(TomlFile.read(path))
        return catalogue

    def _add_plugins(self) -> None:
        """Read the TOML files that packages name as `text_distillation.tasks` entry points.

        Each is `module:attribute`, the attribute a path. A broken one is left out with a warning.
        """
        for point in importlib.metadata.entry_points(group=PLUGINS):
            before = {name: dict(known) for name, known in vars(self).items()}
            try:
                self._add(TomlFile.read(Path(point.load())))
            except Exception as error:
                vars(self).update(before)
                warnings.warn(f"tasks of plug-in {point.value!r}: {error}", stacklevel=2)

    def task(self, name: str) -> Task:
        """Look up a task."""
        return _look_up(self.tasks, "task", name)

    def suite(self, name: str) -> Suite:
        """Look up a suite."""
        return _look_up(self.suites, "suite", name)

    def places(self, suite: Suite) -> dict[str, int]:
        """Where each method and learner is first named: by this suite, else by all in their order.

        So the tables of a suite keep one order, however few of its cells a run asks for.
        """
        named: dict[str, None] = {}
        for one in (suite, *self.suites.values()):
            for block in (one, *one.cells):
                named |= dict.fromkeys((*block.methods, *block.learners))
        return {name: place for place, name in enumerate(named)}

    def protocol(self, name: str) -> Protocol:
        """Look up a protocol."""
        return _look_up(self.protocols, "protocol", name)

    def model(self, name: str) -> ModelSpec:
        """Look up a pretrained model."""
        return _look_up(self.models, "model", name)

    def encoder(self, name: str) -> EncoderSpec:
        """Look up an encoder; `NAME-prompt` is `NAME` with a prompt, unless it is defined."""
        plain = name.removesuffix(PROMPTED)
        if name not in self.encoders and plain in self.encoders:
            return self.encoders[plain].prompted()
        return _look_up(self.encoders, "encoder", name)

    def _add(self, file: TomlFile) -> None:
        kinds: dict[str, tuple[dict, type]] = {
            "task": (self.tasks, Task),
            "suite": (self.suites, Suite),
            "protocol": (self.protocols, Protocol),
            "model": (self.models, ModelSpec),
            "encoder": (self.encoders, EncoderSpec),
            "learner": (self.learners, LearnerSpec),
        }
        for kind, tables in file.content.items():
            if kind not in kinds:
                raise file.error(
                    f"unknown table [{kind}.…].{did_you_mean(kind, list(kinds))}", kind
                )
            if not isinstance(tables, dict):
                raise file.error(f"{kind!r} must be written as [{kind}.NAME]", kind)
            known, cls = kinds[kind]
            for name, table in tables.items():
                where = f"{kind}.{name}"
                if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
                    raise file.error(
                        f"[{where}]: a name is made of a-z, 0-9, '.', '_' and '-'", where
                    )
                if name in known:
                    raise file.error(f"[{where}]: {kind} {name!r} is defined already", where)
                if not isinstance(table, dict):
                    raise file.error(f"[{where}] must be a table", where)
                if "name" in table:
                    raise file.error(f"[{where}]: unknown key 'name'", where, "name")
                if cls is LearnerSpec:
                    self.learner_files[name] = file  # what is in it, the kind alone can check
                    table = dict(table)
                    head = {"kind": table.pop("kind")} if "kind" in table else {}
                    table = {**head, "parameters": table}
                known[name] = file.build(cls, where, {"name": name, **table})
        self._check(file)

    def _check(self, file: TomlFile) -> None:
        for name, task in self.tasks.items():
            where = f"task.{name}"
            if len(task.text) not in (1, 2):
                raise file.error(f"[{where}]: text names 1 or 2 columns", where, "text")
            if len(task.classes) < 2 or len(set(task.classes)) < len(task.classes):
                raise file.error(
                    f"[{where}]: classes are 2 or more different names", where, "classes"
                )
            if task.metric not in METRICS:
                hint = did_you_mean(task.metric, list(METRICS))
                raise file.error(
                    f"[{where}]: unknown metric {task.metric!r}.{hint}", where, "metric"
                )
            if task.metric == "accuracy_f1" and task.n_classes != 2:
                raise file.error(f"[{where}]: accuracy_f1 is for two classes", where, "metric")
            if any(isinstance(value, list | dict) for value in task.where.values()):
                raise file.error(f"[{where}]: where maps columns to single values", where, "where")
            if {"label", "labels"} & set(task.text):
                raise file.error(
                    f"[{where}]: a text column may not be called 'label' or 'labels', which "
                    "hold the labels of distilled sets",
                    where,
                    "text",
                )
        for name, encoder in self.encoders.items():
            if encoder.model and encoder.model not in self.models:
                hint = did_you_mean(encoder.model, list(self.models))
                where = f"encoder.{name}"
                raise file.error(
                    f"[{where}]: unknown model {encoder.model!r}.{hint}", where, "model"
                )
        for name, suite in self.suites.items():
            where = f"suite.{name}"
            if suite.encoder is not None:
                try:
                    self.encoder(suite.encoder)
                except InputError as error:
                    raise file.error(f"[{where}]: {error}", where, "encoder") from error
            for task_name in suite.tasks:
                if task_name not in self.tasks:
                    hint = did_you_mean(task_name, list(self.tasks))
                    raise file.error(
                        f"[{where}]: unknown task {task_name!r}.{hint}", where, "tasks"
                    )
            if suite.protocol not in self.protocols:
                hint = did_you_mean(suite.protocol, list(self.protocols))
                message = f"[{where}]: unknown protocol {suite.protocol!r}.{hint}"
                raise file.error(message, where, "protocol")


def _check_counts(repeated: Protocol | Block) -> None:
    for name in ("sets", "seeds"):
        if getattr(repeated, name) < 1:
            raise InputError(f"{name}: {getattr(repeated, name)} is less than 1")
    if not repeated.dpc or min(repeated.dpc) < 1:
        raise InputError(f"dpc: {list(repeated.dpc)} is no list of numbers of 1 or more")


def _look_up(known: Mapping[str, T], kind: str, name: str) -> T:
    if name not in known:
        raise InputError(f"unknown {kind} {name!r}.{did_you_mean(name, list(known))}")
    return known[name]
