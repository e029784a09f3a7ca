"""`list`: what can be named on the command line."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table

from benchmark.cli import flags
from benchmark.cli.console import output
from benchmark.core.catalogue import Block
from benchmark.core.errors import InputError
from benchmark.core.learner import LEARNERS, Learner
from benchmark.core.library import Library
from benchmark.core.method import METHODS
from benchmark.core.parameters import parameters_of
from benchmark.core.registry import Registry
from benchmark.store import Store

Lines = list[dict[str, Any]]

LONG = ("parameters", "revision", "dataset", "reason", "text", "label")
"""What makes a line too wide for a terminal."""

KEY_SHOWN = 12
"""Characters of a key; `show` takes its beginning."""


class Kind(StrEnum):
    """What can be listed."""

    METHODS = "methods"
    LEARNERS = "learners"
    TASKS = "tasks"
    SUITES = "suites"
    PROTOCOLS = "protocols"
    SETS = "sets"


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("list", help=__doc__)(list_)


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all there is.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Show wide columns too.")] = False,
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """List methods, learners, tasks, suites, protocols or the store's sets."""
    library = Library(flags.library_config(store, assets, offline, tasks))
    lines = LISTS[kind](library)
    if as_json:
        print(json.dumps(lines, indent=1, ensure_ascii=False))
        return
    if not lines:
        print(f"no {kind.value} yet")
        return
    shown = [name for name in lines[0] if long or name not in LONG]
    table = Table(*shown, box=None, header_style="bold", pad_edge=False)
    for line in lines:
        if not long and "key" in line:
            line = {**line, "key": line["key"][:KEY_SHOWN]}
        table.add_row(*(_show(line[name]) for name in shown))
    output().print(table, markup=False)


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items())
    return "" if value is None else str(value)


def _loadable(registry: Registry) -> list[str]:
    """Names of a registry, less plug-ins that cannot be imported: those are a warning."""
    names = []
    for name in registry.names():
        try:
            registry.cls(name)
        except InputError as error:
            print(f"warning: {error}", file=sys.stderr)
        else:
            names.append(name)
    return names


def _summary(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0] if cls.__doc__ else ""


def _methods(_: Library) -> Lines:
    lines = []
    for name in _loadable(METHODS):
        cls = METHODS.cls(name)
        method = METHODS.build(name)
        lines.append(
            {
                "name": name,
                "level": method.level,
                "deterministic": method.deterministic,
                "budget": method.budget,
                "external_lm": method.uses_external_lm,
                "parameters": parameters_of(method),
                "what": _summary(cls),
            }
        )
    return lines


def _learners(library: Library) -> Lines:
    lines = []
    for name in _loadable(LEARNERS):
        if _needs_parameters(LEARNERS.cls(name)) - set(LEARNERS.entry(name).preset):
            continue  # a kind of learner that stands for none without a model
        learner = LEARNERS.build(name)
        lines.append(
            {
                "name": name,
                "available": _availability(library, learner),
                "deterministic": learner.deterministic,
                "what": _summary(LEARNERS.cls(name)),
            }
        )
    return lines


def _needs_parameters(cls: type) -> set[str]:
    return {
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }


def _availability(library: Library, learner: Learner) -> str:
    """Whether a learner's models are here; one that names an unknown model hides no other."""
    catalogue = library.catalogue
    try:
        encoders = [catalogue.encoder(encoder).model for encoder in learner.encoders]
        specs = [catalogue.model(model) for model in (*learner.models, *encoders) if model]
    except InputError as error:
        return f"no: {str(error).partition('.')[0]}"
    absent = [spec.hub for spec in specs if library.assets.local_model(spec)[0] is None]
    return f"from the hub: {', '.join(absent)}" if absent else "yes"


def _tasks(library: Library) -> Lines:
    return [
        {
            "name": task.name,
            "classes": task.n_classes,
            "pair": task.is_pair,
            "metric": task.metric,
            "text": list(task.text),
            "label": task.label,
            "dataset": f"{task.dataset} / {task.config}",
            "revision": task.revision,
            "note": task.note,
        }
        for task in library.catalogue.tasks.values()
    ]


def _suites(library: Library) -> Lines:
    return [
        {
            "name": suite.name,
            "tasks": list(suite.tasks),
            "methods": list(suite.methods),
            "learners": list(suite.learners),
            "further_cells": [_block(block) for block in suite.cells],
            "protocol": suite.protocol,
        }
        for suite in library.catalogue.suites.values()
    ]


def _block(block: Block) -> str:
    """Cells with repetitions of their own, in words."""
    budgets = ",".join(map(str, block.dpc))
    return (
        f"{','.join(block.methods)} × {','.join(block.learners)} at DPC {budgets}: "
        f"{block.sets} × {block.seeds};"
    )


def _protocols(library: Library) -> Lines:
    return [
        {
            "name": protocol.name,
            "sets": protocol.sets,
            "seeds": protocol.seeds,
            "dpc": list(protocol.dpc),
            "note": protocol.note,
        }
        for protocol in library.catalogue.protocols.values()
    ]


def _sets(library: Library) -> Lines:
    store = Store(library.config.store, writes=False)
    lines = []
    for record in store.sets().values():
        made = record.ingredients
        lines.append(
            {
                "key": record.set_key,
                "method": made.get("method"),
                "dpc": made.get("dpc"),
                "set_index": made.get("set_index"),
                "rows": record.facts.get("rows"),
                "words": record.facts.get("words"),
                "status": record.status.value,
                "reason": record.reason,
            }
        )
    store.close()
    return sorted(lines, key=lambda line: (str(line["method"]), str(line["key"])))


LISTS: dict[Kind, Callable[[Library], Lines]] = {
    Kind.METHODS: _methods,
    Kind.LEARNERS: _learners,
    Kind.TASKS: _tasks,
    Kind.SUITES: _suites,
    Kind.PROTOCOLS: _protocols,
    Kind.SETS: _sets,
}
