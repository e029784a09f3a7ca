"""The plan: from what was asked for to cells, sets and keys. Nothing is computed or written here.

Bad names, parameters and budgets are found while planning, before any work starts. What cannot be
had on this machine becomes a skipped cell with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.catalogue import Block, Protocol, Suite
from benchmark.core.errors import InputError, UnavailableError, did_you_mean
from benchmark.core.keys import Key, canonical_json, combine, run_key, set_key, state_key
from benchmark.core.learner import LEARNERS, Learner
from benchmark.core.library import Library
from benchmark.core.method import METHODS, Budget, Method, Selector
from benchmark.core.parameters import build
from benchmark.core.records import CellId, CellPlan
from benchmark.core.seeding import seed_of
from benchmark.work import PlannedRun, SetJob, state_seed


@dataclass(frozen=True)
class Options:
    """What was asked for; None means the suite's or protocol's own value."""

    suite: str
    methods: tuple[str, ...] | None = None
    learners: tuple[str, ...] | None = None
    tasks_only: tuple[str, ...] | None = None
    dpc: tuple[int, ...] | None = None
    ratio: tuple[float, ...] | None = None
    protocol: str | None = None
    sets: int | None = None
    seeds: int | None = None
    deterministic: str = "resample"
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    keep_logits: bool = False


@dataclass(frozen=True)
class TaskFacts:
    """What planning needs to know of a task's data."""

    pool: str
    test: str
    class_counts: tuple[int, ...]
    train_rows: int
    test_rows: int
    dropped: int


@dataclass(frozen=True)
class Cell:
    """A planned cell with everything that its keys are made of."""

    id: CellId
    method: Method
    learner: Learner
    budget: Budget
    n_sets: int
    n_seeds: int
    fraction: float
    facts: TaskFacts
    protocol: Protocol
    metric: str
    set_encoders: Mapping[str, str]
    run_models: Mapping[str, str]
    info: Mapping[str, Any]
    classes: tuple[str, ...] = ()

    @property
    def indices(self) -> list[tuple[int, int]]:
        """All (set index, seed index) of the cell."""
        return [(i, j) for i in range(self.n_sets) for j in range(self.n_seeds)]

    def record(self, reason: str = "", *, structural: bool = False) -> CellPlan:
        """What the store keeps of the plan."""
        return CellPlan(
            self.id, self.n_sets, self.n_seeds, self.metric, reason, structural, self.info
        )

    def set_key(self, set_index: int) -> Key:
        """Key of one of the cell's sets; cells that differ in the learner only share it."""
        pool = self.facts.pool
        if self.fraction < 1:
            pool = combine(pool, f"resample {self.fraction}", self._resample_seed(set_index))
        return set_key(
            method=self.method.name,
            params=self.method.params(),
            method_version=self.method.version,
            pool=pool,
            dpc=list(self.budget.per_class),  # type: ignore[arg-type]
            set_index=set_index,
            protocol_seed=self.protocol.seed,
            encoders=self.set_encoders,
        )

    def _resample_seed(self, set_index: int) -> int:
        # Without the method, so that all deterministic methods see the same twenty pools.
        return seed_of(
            "resample", task=self.id.task, set_index=set_index, protocol=self.protocol.seed
        )

    def set_job(self, set_index: int, store: Path, folder: Path) -> SetJob:
        """The job that makes one of the cell's sets."""
        key = self.set_key(set_index)
        state = None
        if self.method.needs_preparation:
            prepared = state_key(
                method=self.method.name,
                params=self.method.params(),
                method_version=self.method.version,
                pool=self.facts.pool,
                protocol_seed=self.protocol.seed,
                encoders=self.set_encoders,
            )
            state = store / "states" / prepared.digest
        return SetJob(
            task=self.id.task,
            method=self.method.name,
            params=self.method.params(),
            budget=self.budget,
            set_index=set_index,
            seed=seed_of(
                "distil",
                task=self.id.task,
                method=self.method.name,
                budget=canonical_json(list(self.budget.per_class)),
                set_index=set_index,
                protocol=self.protocol.seed,
            ),
            fraction=self.fraction,
            resample_seed=self._resample_seed(set_index),
            set_key=key.digest,
            folder=folder,
            state_folder=state,
            state_seed=state_seed(self.id.task, self.method.name, self.protocol.seed),
            ingredients=key.ingredients,
        )

    def run(self, index: tuple[int, int], set_hash: str, folder: Path, set_key: str) -> PlannedRun:
        """One training of the cell, given the hash of its set."""
        set_index, seed_index = index
        # Without the method: methods are compared on common random numbers.
        seed = seed_of(
            "train",
            task=self.id.task,
            learner=self.learner.name,
            set_index=set_index,
            seed_index=seed_index,
            protocol=self.protocol.seed,
        )
        key = run_key(
            set_hash=set_hash,
            learner=self.learner.name,
            recipe=self.learner.params(),
            learner_version=self.learner.version,
            models=self.run_models,
            test=self.facts.test,
            metric=self.metric,
            seed=None if self.learner.deterministic else seed,
        )
        return PlannedRun(
            run_key=key.digest,
            set_key=set_key,
            set_hash=set_hash,
            folder=folder,
            seed=0 if self.learner.deterministic else seed,
            ingredients=key.ingredients,
        )


@dataclass(frozen=True)
class SkippedCell:
    """A cell that cannot be run here, and why."""

    plan: CellPlan


@dataclass(frozen=True)
class Plan:
    """All cells of a run, in the order of work."""

    suite: Suite
    protocol: Protocol
    cells: tuple[Cell, ...]
    skipped: tuple[SkippedCell, ...]
    keep_logits: bool = False

    def by_task(self) -> dict[str, list[Cell]]:
        """Cells grouped by task, in order."""
        groups: dict[str, list[Cell]] = {}
        for cell in self.cells:
            groups.setdefault(cell.id.task, []).append(cell)
        return groups


@dataclass(frozen=True)
class _Budgeted:
    """One column of a method: how its budget is printed and counted."""

    label: str
    budget: Budget


def make_plan(options: Options, library: Library) -> Plan:
    """Turn options into cells; raises `InputError` for anything that a reader must mend."""
    catalogue = library.catalogue
    suite = catalogue.suite(options.suite)
    protocol = catalogue.protocol(options.protocol or suite.protocol)
    protocol = replace(
        protocol,
        sets=_positive("--sets", options.sets, protocol.sets),
        seeds=_positive("--seeds", options.seeds, protocol.seeds),
    )
    if options.deterministic not in ("resample", "once"):
        raise InputError(f"--deterministic {options.deterministic!r} is neither resample nor once")
    if options.dpc and options.ratio:
        raise InputError("--dpc and --ratio exclude each other")
    tasks = _tasks(suite, options.tasks_only)
    check_settings(options.settings)
    cells: list[Cell] = []
    skipped: list[SkippedCell] = []
    for block in _blocks(suite, protocol, options):
        methods = [_method(name, suite, options) for name in block.methods]
        learners = [LEARNERS.build(name) for name in block.learners]
        _check_encoders(library, methods, learners)
        ratio = None if options.dpc else options.ratio
        for order, name in enumerate(tasks):
            facts, why = task_facts(library, name)
            for method_order, method in enumerate(methods):
                for budgeted in _budgets(method, block, ratio, facts, library.catalogue.task(name)):
                    for learner_order, learner in enumerate(learners):
                        cell = _cell(
                            library, suite, protocol, block, options, name, facts, method,
                            budgeted, learner, (order, method_order, learner_order),
                        )  # fmt: skip
                        reason = why or missing_for(library, method.encoders, learner)
                        if reason:
                            skipped.append(SkippedCell(cell.record(reason)))
                        elif _structural(method, learner):
                            why_not = f"{method.level}-level set"
                            skipped.append(SkippedCell(cell.record(why_not, structural=True)))
                        else:
                            cells.append(with_models(library, cell))
    _check_budgets(cells)
    _check_unique(cells, skipped)
    return Plan(suite, protocol, tuple(cells), tuple(skipped), options.keep_logits)


def check_settings(settings: Mapping[str, Mapping[str, str]]) -> None:
    """Check every `--set method.param=value`, also for methods that were not selected."""
    for name, values in settings.items():
        build(METHODS.cls(name), name, {**METHODS.entry(name).preset, **values})


def _tasks(suite: Suite, only: Sequence[str] | None) -> list[str]:
    for name in only or ():
        if name not in suite.tasks:
            hint = did_you_mean(name, list(suite.tasks))
            raise InputError(f"--tasks-only: suite {suite.name!r} has no task {name!r}.{hint}")
    return [name for name in suite.tasks if not only or name in only]


def _blocks(suite: Suite, protocol: Protocol, options: Options) -> list[Block]:
    dpc = options.dpc or suite.dpc or protocol.dpc
    for value in dpc:
        _positive("--dpc", value, value)
    for ratio in options.ratio or ():
        if not 0 < ratio <= 1:
            raise InputError(f"--ratio {ratio}: a share of the training rows lies in (0, 1]")
    methods, learners = options.methods or suite.methods, options.learners or suite.learners
    blocks = [Block(methods, learners, tuple(dict.fromkeys(dpc)), protocol.sets, protocol.seeds)]
    # A suite's extra cells belong to the suite as it stands: whoever chooses cells gets those.
    if not (options.methods or options.learners or options.dpc or options.ratio):
        blocks += [
            replace(block, sets=options.sets or block.sets, seeds=options.seeds or block.seeds)
            for block in suite.cells
        ]
    return blocks


def _method(name: str, suite: Suite, options: Options) -> Method:
    given: dict[str, Any] = dict(options.settings.get(name, {}))
    cls = METHODS.cls(name)
    preset = METHODS.entry(name).preset
    has_encoder = "encoder" in getattr(cls, "__dataclass_fields__", {})
    if suite.encoder and has_encoder and "encoder" not in {**preset, **given}:
        given["encoder"] = suite.encoder
    return METHODS.build(name, given)


def _check_encoders(
    library: Library, methods: Iterable[Method], learners: Iterable[Learner]
) -> None:
    for adapter in (*methods, *learners):
        for encoder in adapter.encoders:
            library.catalogue.encoder(encoder)
    for learner in learners:
        for model in learner.models:
            library.catalogue.model(model)


def task_facts(library: Library, name: str) -> tuple[TaskFacts | None, str]:
    """Read what planning needs of a task; returns (None, reason) when its data cannot be had."""
    try:
        data = library.task(name)
    except UnavailableError as error:
        return None, str(error)
    pool = data.pool
    return (
        TaskFacts(
            pool=pool.fingerprint,
            test=data.test.fingerprint,
            class_counts=tuple(int(n) for n in pool.class_counts()),
            train_rows=len(pool),
            test_rows=len(data.test.labels),
            dropped=pool.dropped,
        ),
        "",
    )


def _budgets(
    method: Method,
    block: Block,
    ratio: Sequence[float] | None,
    facts: TaskFacts | None,
    task: Any,
) -> list[_Budgeted]:
    if method.budget == "none":
        counts = facts.class_counts if facts else (1,) * task.n_classes
        return [_Budgeted("0", Budget(counts))]
    if ratio is None:
        return [_Budgeted(str(dpc), Budget.dpc(dpc, task.n_classes)) for dpc in block.dpc]
    if facts is None:  # nothing will be run; the catalogue's row count gives the column's name
        known = task.rows.get(task.train, task.n_classes)
        facts = TaskFacts("", "", (known,) * task.n_classes, known, 0, 0)
    return [_by_ratio(value, facts) for value in ratio]


def _by_ratio(ratio: float, facts: TaskFacts) -> _Budgeted:
    """round(ratio x rows) examples, spread over the classes as evenly as can be, at least one each.

    A class that has fewer rows than its share gives all it has, and the others take the rest.
    """
    counts = np.array(facts.class_counts)
    n_classes = len(counts)
    total = max(n_classes, round(ratio * facts.train_rows))
    given = np.zeros(n_classes, dtype=int)
    for _ in range(min(total, int(counts.sum()))):
        open_classes = np.flatnonzero(given < counts)
        given[open_classes[given[open_classes].argmin()]] += 1
    return _Budgeted(f"{total / n_classes:.4g}", Budget(tuple(int(n) for n in given)))


def _cell(
    library: Library,
    suite: Suite,
    protocol: Protocol,
    block: Block,
    options: Options,
    task_name: str,
    facts: TaskFacts | None,
    method: Method,
    budgeted: _Budgeted,
    learner: Learner,
    order: tuple[int, int, int],
) -> Cell:
    task = library.catalogue.task(task_name)
    n_sets, n_seeds, fraction, sampling = block.sets, block.seeds, 1.0, "independent"
    if method.budget == "none":
        n_sets, sampling = 1, "one set"
    elif method.deterministic and options.deterministic == "once":
        n_sets, n_seeds, sampling = 1, block.sets * block.seeds, "one set"
    elif method.deterministic:
        fraction, sampling = protocol.resample, f"resampled {protocol.resample:.0%}"
    info = {
        "task_order": order[0],
        "method_order": order[1],
        "learner_order": order[2],
        "n_classes": task.n_classes,
        "task_note": task.note,
        "train_rows": facts.train_rows if facts else 0,
        "test_rows": facts.test_rows if facts else 0,
        "dropped_rows": facts.dropped if facts else 0,
        "revision": task.revision or "",
        "sampling": sampling,
        "protocol": protocol.name,
        "recipe": learner.params(),
        "submitted": False,
    }
    return Cell(
        id=CellId(
            suite.name,
            task_name,
            method.name,
            canonical_json(method.params()),
            budgeted.label,
            learner.name,
        ),
        method=method,
        learner=learner,
        budget=budgeted.budget,
        n_sets=n_sets,
        n_seeds=n_seeds,
        fraction=fraction,
        facts=facts or TaskFacts("", "", (), 0, 0, 0),
        protocol=protocol,
        metric=task.metric,
        set_encoders={},
        run_models={},
        info=info,
        classes=task.classes,
    )


def missing_for(library: Library, encoders: Iterable[str], learner: Learner) -> str:
    """Say which encoder or model cannot be had, if any; "" if all is there."""
    try:
        for name in (*encoders, *learner.encoders):
            library.model_folder(library.catalogue.encoder(name).model)
        for name in learner.models:
            library.model_folder(name)
    except UnavailableError as error:
        return str(error)
    return ""


def _structural(method: Method, learner: Learner) -> bool:
    return method.level not in learner.levels


def with_models(library: Library, cell: Cell) -> Cell:
    return replace(
        cell,
        set_encoders={name: library.encoder_fingerprint(name) for name in cell.method.encoders},
        run_models={
            **{name: library.model_fingerprint(name) for name in cell.learner.models},
            **{name: library.encoder_fingerprint(name) for name in cell.learner.encoders},
        },
    )


def _check_budgets(cells: Iterable[Cell]) -> None:
    """Refuse a budget that a task cannot give, before anything is computed."""
    for cell in cells:
        if not isinstance(cell.method, Selector) or cell.method.budget != "exact":
            continue
        for label, (wanted, count) in enumerate(
            zip(cell.budget.per_class, cell.facts.class_counts, strict=True)
        ):
            there = max(1, round(cell.fraction * count)) if cell.fraction < 1 else count
            if there < wanted:
                resampled = f" ({there} in a resampled pool)" if cell.fraction < 1 else ""
                raise InputError(
                    f"task {cell.id.task!r}: class {cell.classes[label]!r} has {count} training "
                    "examples"
                    f"{resampled}, fewer than DPC {cell.id.dpc}, which {cell.method.name!r} would "
                    "select; give a lower --dpc, or leave the task out with --tasks-only"
                )


def _check_unique(cells: Sequence[Cell], skipped: Sequence[SkippedCell]) -> None:
    seen: set[CellId] = set()
    for cell_id in [cell.id for cell in cells] + [item.plan.cell for item in skipped]:
        if cell_id in seen:
            raise InputError(f"cell {cell_id.label} is planned twice: name each method once")
        seen.add(cell_id)


def _positive(flag: str, value: int | None, default: int) -> int:
    chosen = default if value is None else value
    if chosen < 1:
        raise InputError(f"{flag} {chosen}: a number of 1 or more is needed")
    return chosen


def parse_settings(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Read `method.param=value` texts; raises `InputError` for one that is not of this form."""
    settings: dict[str, dict[str, str]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        method, dot, param = left.strip().rpartition(".")
        if not (equals and dot and method and param):
            raise InputError(f"--set {text!r}: write it as method.param=value")
        settings.setdefault(method, {})[param] = value.strip()
    return settings


def describe(params: str) -> str:
    """Show canonical parameters to a reader: `encoder=minilm`."""
    return ", ".join(f"{name}={value}" for name, value in json.loads(params).items())
