"""Methods: adapters that make a distilled set from a pool.

A selector is a class with `select`, a generator a class with `generate`; the harness owns
per-class splitting, seeds, budgets, caching, logging and retries. Parameters are annotated class
attributes, tags are plain ones::

    @register("herding", paper="welling2009herding")
    class Herding(Selector):
        encoder: str = "minilm"
        deterministic = True

        def select(self, pool, size, rng): ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, dataclass_transform

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import BenchmarkError, InputError
from benchmark.core.needs import Needs
from benchmark.core.outline import Need, Outline
from benchmark.core.parameters import parameters_of
from benchmark.core.pool import Pool
from benchmark.core.registry import Entry, Registry, registering


@dataclass(frozen=True)
class Budget:
    """How many examples a set may hold: a number per class, in label order."""

    per_class: tuple[int, ...]

    @classmethod
    def dpc(cls, dpc: int, n_classes: int) -> Budget:
        """`dpc` examples for each of `n_classes` classes."""
        return cls((dpc,) * n_classes)

    @property
    def total(self) -> int:
        """Number of examples over all classes."""
        return sum(self.per_class)


@dataclass(frozen=True)
class Method(ABC):
    """Makes a `DistilledSet` from a `Pool` for a `Budget`.

    Tags: `deterministic` (ignores its generator), `level` of its sets, `uses_external_lm` (knows
    more than the pool), `budget` (`exact`; `multiple`, as EDA's tenfold; `none`, as `full`),
    `version` (raise it when the adapter's results change: old sets are then not reused), `toy`
    (parameters with which the conformance suite runs it: those that make it a matter of seconds),
    `needs` (cores and share of a GPU that making a set or learning takes on a cluster),
    `seeded_as` (draws the random numbers of the method of that name, so that what both learn alike
    is learned once; by default its own name), `draws_rows` (makes each example of a class from
    another of its rows, so that a class with fewer rows than the budget is refused before any work;
    selectors do), `reads_groups` (uses the group of each training row,
    so that a task must have groups; they are then part of its sets' keys), `note` (what whoever
    reads a table should know of it, in a sentence; pages show it beside the parameters).
    """

    name: ClassVar[str] = ""
    deterministic: ClassVar[bool] = False
    level: ClassVar[str] = "text"
    uses_external_lm: ClassVar[bool] = False
    budget: ClassVar[str] = "exact"
    version: ClassVar[int] = 1
    toy: ClassVar[Mapping[str, Any]] = {}
    seeded_as: ClassVar[str] = ""
    draws_rows: ClassVar[bool] = False
    reads_groups: ClassVar[bool] = False
    note: ClassVar[str] = ""
    needs: ClassVar[Needs] = Needs()

    @abstractmethod
    def distil(
        self, pool: Pool, budget: Budget, rng: np.random.Generator, state: Path | None = None
    ) -> DistilledSet:
        """Make one set. `state` is the folder that `prepare` filled, if the method has one."""

    def prepare(  # noqa: B027 - most methods learn nothing
        self, pool: Pool, rng: np.random.Generator, folder: Path
    ) -> None:
        """Learn once per pool and leave the result in `folder`; sets of all budgets share it.

        A folder and not an object, so that it is never pickled and a killed preparation can
        resume from the checkpoints that it finds there. Override it only if there is something to
        learn; `needs_preparation` tells whether a method did.
        """

    @property
    def needs_preparation(self) -> bool:
        """Whether the method learns something once per pool."""
        return type(self).prepare is not Method.prepare

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of the encoders whose features the method reads, part of its sets' keys."""
        encoder = getattr(self, "encoder", None)
        return (encoder,) if encoder else ()

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the pretrained models (catalogue `[model.*]`) that it uses, part of its keys.

        `pool.services.model(name)` gives the folder.
        """
        return ()

    @property
    def embeds_for(self) -> str:
        """The model whose input embeddings its sets hold, if they are of level `embedding`."""
        return ""

    @property
    def endpoint(self) -> str:
        """The model that it asks behind an endpoint (`benchmark.core.endpoint`), "" if none."""
        return ""

    def lacks(self) -> str:
        """Say which optional package it needs and this machine has not, "" if none."""
        return ""

    def refuses(self, outline: Outline, budget: Budget) -> str:
        """Say why no such set can be made on any machine, "" if it can: told before any work."""
        return ""

    def need(self, outline: Outline, budget: Budget) -> Need:
        """Memory that a set takes at its peak; 0 bytes where the method cannot tell."""
        return Need(0.0)

    def effort(self, outline: Outline, budget: Budget) -> float:
        """How much a set has to do, for estimates of time; no part of any key.

        Only the ratio of two sets counts: what one took tells what the other will take.
        """
        return float(max(1, outline.rows))

    def phase_efforts(self) -> Mapping[str, float]:
        """How much each phase of `prepare` has to do, by its name in the journal.

        For estimates of time, in which only the ratio of two variants counts; phases that are not
        named are taken to last as long as they did. No part of any key.
        """
        return {}

    def params(self) -> dict[str, Any]:
        """Parameters as JSON-able data."""
        return parameters_of(self)


class Selector(Method):
    """Picks real examples, class by class."""

    draws_rows = True

    @abstractmethod
    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        """Return `size` distinct positions in `pool`, which holds the rows of one class."""

    def distil(
        self, pool: Pool, budget: Budget, rng: np.random.Generator, state: Path | None = None
    ) -> DistilledSet:
        """Select within each class and gather the rows, class after class."""
        if budget.total == 0:
            raise BenchmarkError(f"task {pool.task!r}: the budget is no example at all")
        chosen: list[np.ndarray] = []
        for label, size in enumerate(budget.per_class):
            members = np.flatnonzero(pool.labels == label)
            if size == 0:
                continue
            if len(members) < size:
                raise BenchmarkError(
                    f"task {pool.task!r}: class {pool.classes[label]!r} has {len(members)} "
                    f"examples, fewer than the {size} to select"
                )
            picked = np.asarray(self.select(pool.subset(members), size, rng), dtype=np.int64)
            if len(picked) != size or len(np.unique(picked)) != size:
                raise BenchmarkError(
                    f"{self.name} returned {len(picked)} rows ({len(np.unique(picked))} distinct) "
                    f"of class {pool.classes[label]!r}, {size} were asked for"
                )
            if picked.min() < 0 or picked.max() >= len(members):
                raise BenchmarkError(f"{self.name} returned a row that is not in its pool")
            chosen.append(members[picked])
        rows = np.concatenate(chosen)
        return DistilledSet.of_texts(
            pool.texts(rows), pool.labels[rows], pool.classes, rows=pool.indices[rows]
        )


class Generator(Method):
    """Writes new examples, class by class."""

    @abstractmethod
    def generate(
        self, pool: Pool, label: int, size: int, rng: np.random.Generator, state: Path | None
    ) -> Mapping[str, Sequence[str]]:
        """Return `size` new examples of class `label` as text columns, named as the pool's.

        `pool` holds all classes, so that a generator may contrast them.
        """

    def distil(
        self, pool: Pool, budget: Budget, rng: np.random.Generator, state: Path | None = None
    ) -> DistilledSet:
        """Generate each class and gather the rows, class after class."""
        columns: dict[str, list[str]] = {name: [] for name in pool.text_columns}
        labels: list[int] = []
        for label, size in enumerate(budget.per_class):
            if size == 0:
                continue
            texts = self.generate(pool, label, size, rng, state)
            if set(texts) != set(columns):
                raise BenchmarkError(
                    f"{self.name} returned columns {sorted(texts)}, not {sorted(columns)}"
                )
            count = {len(column) for column in texts.values()}
            if len(count) != 1 or (self.budget == "exact" and count != {size}):
                raise BenchmarkError(
                    f"{self.name} returned {sorted(count)} rows of class {pool.classes[label]!r}, "
                    f"{size} were asked for"
                )
            for name in columns:
                columns[name] += texts[name]
            labels += [label] * count.pop()
        return DistilledSet.of_texts(columns, labels, pool.classes)


class Methods(Registry[Method]):
    """The methods by name; `GENERATOR+SELECTOR` is the method `crossed` of the two."""

    def entry(self, name: str) -> Entry:
        """Look a name up; raises `InputError` for an unknown name, or for parts that don't fit."""
        generator, plus, selector = name.partition("+")
        self._discover()
        if not plus or name in self._entries:
            return super().entry(name)
        for part, kind in ((generator, Generator), (selector, Selector)):
            if not issubclass(self.cls(part), kind):
                raise InputError(
                    f"method {name!r}: {part} is no {kind.__name__.lower()}; "
                    "write GENERATOR+SELECTOR"
                )
        crossed = super().entry("crossed")
        return replace(crossed, name=name, preset={"generator": generator, "selector": selector})


METHODS: Registry[Method] = Methods("method", Method, "methods", "text_distillation.methods")


@dataclass_transform(frozen_default=True)
def register(name: str, *, paper: str = "", **preset: Any) -> Callable[[type], type]:
    """Register a method under `name`; `preset` are parameters of a named variant."""
    return registering(METHODS, name, paper=paper, **preset)
