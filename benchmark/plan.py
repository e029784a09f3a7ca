"""The plan: from what was asked for to cells, sets and keys. Nothing is computed or written here.

Bad names, parameters and budgets are found while planning, before any work starts. What cannot be
had on this machine becomes a skipped cell with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmark.availability import missing_for, structural_mismatch, task_facts, with_models
from benchmark.budgets import Budgeted, budgets_of, check_budgets
from benchmark.cells import Cell, SkippedCell, TaskFacts, cell_info
from benchmark.core.catalogue import Block, Protocol, Suite
from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.keys import canonical_json
from benchmark.core.learner import Learner, build_learner, expand_panels
from benchmark.core.library import Library
from benchmark.core.method import METHODS, Method
from benchmark.core.parameters import build
from benchmark.core.records import CellId
from benchmark.core.task import Task
from benchmark.fits import check_possible


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
    check_settings(library, options.settings)
    planner = _Planner(library, suite, protocol, options)
    cells: list[Cell] = []
    useless: list[Cell] = []
    skipped: list[SkippedCell] = []
    for block in _blocks(suite, protocol, options):
        for task in tasks:
            for cell, unavailable in planner.cells_of(block, task):
                if unavailable:
                    skipped.append(SkippedCell(cell.record(unavailable)))
                elif why := structural_mismatch(cell.method, cell.learner, catalogue.task(task)):
                    skipped.append(SkippedCell(cell.record(why, structural=True)))
                    useless.append(with_models(library, cell))
                else:
                    cells.append(with_models(library, cell))
    check_budgets(cells)
    # A wrong parameter would else pass for a set that the learner cannot use.
    check_possible([*cells, *useless])
    _check_unique(cells, skipped)
    return Plan(suite, protocol, tuple(cells), tuple(skipped), options.keep_logits)


def check_settings(library: Library, settings: Mapping[str, Mapping[str, str]]) -> None:
    """Check every `--set method.param=value`, also for methods that were not selected."""
    made = [
        build(METHODS.cls(name), name, {**METHODS.entry(name).preset, **values})
        for name, values in settings.items()
    ]
    _check_names(library, made, ())


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


def _check_names(library: Library, methods: Iterable[Method], learners: Iterable[Learner]) -> None:
    for adapter in (*methods, *learners):
        for encoder in adapter.encoders:
            library.catalogue.encoder(encoder)
        for model in adapter.models:
            library.catalogue.model(model)


@dataclass(frozen=True)
class _Planner:
    """Makes the cells of one suite under one protocol."""

    library: Library
    suite: Suite
    protocol: Protocol
    options: Options

    def cells_of(self, block: Block, task_name: str) -> Iterator[tuple[Cell, str]]:
        """Yield each cell of a task, with the reason if it cannot be had here (else "")."""
        task = self.library.catalogue.task(task_name)
        methods = [_method(name, self.suite, self.options) for name in block.methods]
        learners = [build_learner(name) for name in expand_panels(block.learners)]
        _check_names(self.library, methods, learners)
        ratio = None if self.options.dpc else self.options.ratio
        facts, why = task_facts(self.library, task_name)
        places = self.library.catalogue.places(self.suite)
        for method in methods:
            for budgeted in budgets_of(method, block, ratio, facts, task):
                for learner in learners:
                    place = {
                        "task_order": self.suite.tasks.index(task_name),
                        "method_order": places.get(method.name, len(places)),
                        "learner_order": places.get(learner.name, len(places)),
                    }
                    cell = self._cell(block, task, facts, method, budgeted, learner, place)
                    if why and not self.library.config.look:
                        yield cell, why
                    else:  # a plan looks at the models too, for what is to be fetched
                        missing = missing_for(self.library, method, learner)
                        yield cell, why or missing

    def _cell(
        self,
        block: Block,
        task: Task,
        facts: TaskFacts | None,
        method: Method,
        budgeted: Budgeted,
        learner: Learner,
        place: Mapping[str, int],
    ) -> Cell:
        n_sets, n_seeds, fraction, sampling = self._repetitions(block, method)
        facts = facts or TaskFacts("", "", (), 0, 0, 0)
        info = cell_info(
            place, task, facts, method.note, sampling, self.protocol.name, learner.params()
        )
        params = canonical_json(method.params())
        return Cell(
            id=CellId(
                self.suite.name, task.name, method.name, params, budgeted.label, learner.name
            ),
            method=method,
            learner=learner,
            budget=budgeted.budget,
            n_sets=n_sets,
            n_seeds=n_seeds,
            fraction=fraction,
            facts=facts,
            protocol=self.protocol,
            metric=task.metric,
            set_encoders={},
            run_models={},
            set_models={},
            info=info,
            classes=task.classes,
        )

    def _repetitions(self, block: Block, method: Method) -> tuple[int, int, float, str]:
        """Sets, seeds, the share of the pool that each set is made from, and words for it."""
        if method.budget == "none":
            return 1, block.seeds, 1.0, "one set"
        if not method.deterministic:
            return block.sets, block.seeds, 1.0, "independent"
        if self.options.deterministic == "once":
            return 1, block.sets * block.seeds, 1.0, "one set"
        fraction = self.protocol.resample
        return block.sets, block.seeds, fraction, f"resampled {fraction:.0%}"


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
