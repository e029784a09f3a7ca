"""The catalogue: tasks, suites, learners, encoders, models and protocols, read from TOML.

Built-in data lies in `benchmark/catalogue/`; a user's `--tasks FILE` adds to it in the same form.
Every mistake is reported with file, line and key.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from benchmark.core.assets import ModelSpec
from benchmark.core.encoders import EncoderSpec
from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.parameters import convert
from benchmark.core.task import METRICS, Carve, Task

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


@dataclass(frozen=True)
class Block:
    """Further cells of a suite with repetitions of their own."""

    methods: tuple[str, ...]
    learners: tuple[str, ...]
    dpc: tuple[int, ...]
    sets: int
    seeds: int


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

    @classmethod
    def load(cls, extra: Iterable[Path] = ()) -> Catalogue:
        """Read the built-in files and then `extra`; names must be new.

        Raises `InputError` with file, line and key.
        """
        catalogue = cls()
        folder = resources.files("benchmark") / "catalogue"
        for name in ("learners", "protocols", "tasks", "suites"):
            source = folder / f"{name}.toml"
            catalogue._add(TomlFile(f"{name}.toml", source.read_text(encoding="utf-8")))
        for path in extra:
            catalogue._add(TomlFile.read(path))
        return catalogue

    def task(self, name: str) -> Task:
        """Look up a task."""
        return _look_up(self.tasks, "task", name)

    def suite(self, name: str) -> Suite:
        """Look up a suite."""
        return _look_up(self.suites, "suite", name)

    def protocol(self, name: str) -> Protocol:
        """Look up a protocol."""
        return _look_up(self.protocols, "protocol", name)

    def model(self, name: str) -> ModelSpec:
        """Look up a pretrained model."""
        return _look_up(self.models, "model", name)

    def encoder(self, name: str) -> EncoderSpec:
        """Look up an encoder."""
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
                if cls is LearnerSpec:
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
        for name, suite in self.suites.items():
            where = f"suite.{name}"
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


@dataclass(frozen=True)
class TomlFile:
    """A TOML text that can say on which line a key stands."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path) -> TomlFile:
        """Read a file; raises `InputError` if it cannot be read as UTF-8 text."""
        try:
            return cls(str(path), path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error

    @cached_property
    def content(self) -> dict[str, Any]:
        """The parsed text."""
        try:
            return tomllib.loads(self.text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(f"{self.name}: not valid TOML: {error}") from error

    def line_of(self, table: str, key: str | None = None) -> int:
        """Line of a table's header, or of a key below it (the header's if it is not found)."""
        pattern = r"\s*\[+\s*" + r"\s*\.\s*".join(
            rf"[\"']?{re.escape(part)}[\"']?" for part in table.split(".", 1)
        )
        header = 0
        for number, line in enumerate(self.text.splitlines(), start=1):
            if re.match(pattern + r"\s*[\].]", line):
                header = header or number
            elif header and re.match(r"\s*\[", line):
                break
            elif header and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return number
        return header or 1

    def error(self, message: str, table: str, key: str | None = None) -> InputError:
        """Make an error that names file and line."""
        return InputError(f"{self.name}, line {self.line_of(table, key)}: {message}")

    def build(self, cls: type[T], where: str, table: Mapping[str, Any]) -> T:
        """Make a dataclass from a table, checking names and types of its keys."""
        hints = get_type_hints(cls)
        fields = {item.name: item for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in fields:
                known = [name for name in fields if name != "name"]
                raise self.error(
                    f"[{where}]: unknown key {key!r}.{did_you_mean(key, known)}", where, key
                )
            values[key] = self._value(hints[key], value, where, key)
        for name, item in fields.items():
            required = (
                item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
            )
            if required and name not in values:
                raise self.error(f"[{where}]: the key {name!r} is missing", where)
        return cls(**values)

    def _value(self, hint: Any, value: Any, where: str, key: str) -> Any:
        if hint == tuple[Block, ...]:
            if not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
                raise self.error(f"[{where}]: write {key} as [[{where}.{key}]]", where, key)
            return tuple(self.build(Block, f"{where}.{key}", item) for item in value)
        if hint == (Carve | None):
            if not isinstance(value, dict):
                raise self.error(f"[{where}]: carve is a table of dev, test, seed", where, key)
            return self.build(Carve, where, value)
        if "dict" in str(hint).lower() or "Mapping" in str(hint):
            if not isinstance(value, dict):
                raise self.error(f"[{where}]: {key} must be a table", where, key)
            return value
        try:
            if "tuple" in str(hint) and not isinstance(value, list):
                raise InputError(f"{key}: {value!r} is no list")
            if hint in (str, str | None) and not isinstance(value, str):
                raise InputError(f"{key}: {value!r} is no text")
            return convert(value, hint, key)
        except InputError as error:
            raise self.error(f"[{where}]: {error}", where, key) from None


def _look_up(known: Mapping[str, T], kind: str, name: str) -> T:
    if name not in known:
        raise InputError(f"unknown {kind} {name!r}.{did_you_mean(name, list(known))}")
    return known[name]
