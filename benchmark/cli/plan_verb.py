"""`plan`: what a run would do, what it would cost, and why a cell is to be done again."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmark.cells import Cell
from benchmark.cli import flags
from benchmark.cli.console import output
from benchmark.cli.options import gather
from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.keys import changed_ingredients
from benchmark.core.library import Library
from benchmark.core.records import SetRecord, Status
from benchmark.forecast import Todo, forecast
from benchmark.plan import Plan, describe, make_plan
from benchmark.store import Store


@dataclass
class CellState:
    """How far a cell is: its runs by state, and the trainings and sets that are still to do."""

    states: Counter[str]
    trainings: set[str]
    sets: set[str]

    @property
    def word(self) -> str:
        """The state of the whole cell."""
        for name in ("failed", "stale", "to do"):
            if self.states[name]:
                return name
        return "done"


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("plan", help=__doc__)(plan)


def plan(
    suite: flags.Suite,
    methods: flags.Methods = None,
    learners: flags.Learners = None,
    tasks_only: flags.TasksOnly = None,
    dpc: flags.Dpc = None,
    ratio: flags.Ratio = None,
    protocol: flags.Protocol = None,
    sets: flags.Sets = None,
    seeds: flags.Seeds = None,
    deterministic: flags.Deterministic = None,
    allow_partial: Annotated[bool, typer.Option("--allow-partial", hidden=True)] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", hidden=True)] = False,
    executor: Annotated[str, typer.Option(hidden=True)] = "local",
    workers: Annotated[int, typer.Option(hidden=True)] = 1,
    ray_address: Annotated[str | None, typer.Option(hidden=True)] = None,
    timeout: Annotated[float | None, typer.Option(hidden=True)] = None,
    memory: Annotated[float | None, typer.Option(hidden=True)] = None,
    keep_logits: Annotated[bool, typer.Option("--keep-logits", hidden=True)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", hidden=True)] = False,
    set_: flags.Settings = None,
    config: flags.Config = None,
    why: Annotated[
        str | None, typer.Option(help="A cell, TASK/METHOD/DPC/LEARNER: what its keys are made of.")
    ] = None,
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Show the cells of a run: done, to do, failed, stale, not available; and an estimate."""
    given: dict[str, Any] = dict(locals())
    library = Library(flags.library_config(store, assets, offline, tasks))
    made = make_plan(gather(given), library)
    cell = None if why is None else _find(made, why)
    with to_look_at(store) as opened:
        if cell is None:
            print_plan(made, opened, workers)
        else:
            explain(cell, opened)


@contextmanager
def to_look_at(root: Path) -> Iterator[Store]:
    """Open a store; where there is none yet, an empty one that leaves no trace."""
    with tempfile.TemporaryDirectory() as nothing:
        opened = Store(root if (root / "rows.sqlite").is_file() else Path(nothing))
        try:
            yield opened
        finally:
            opened.close()


def print_plan(plan: Plan, store: Store, workers: int = 1) -> None:
    """Print one line per task and learner, and the estimate."""
    known_sets, runs = store.sets(), store.run_states()
    seen_sets: set[str] = set()
    seen_runs: set[str] = set()
    groups: dict[tuple[str, str], Counter[str]] = {}
    todos: list[Todo] = []
    for cell in plan.cells:
        state = cell_state(cell, store, known_sets, runs)
        group = groups.setdefault((cell.id.task, cell.id.learner), Counter())
        group[state.word] += 1
        fresh_sets, fresh_runs = state.sets - seen_sets, state.trainings - seen_runs
        seen_sets |= fresh_sets
        seen_runs |= fresh_runs
        group["trainings"] += len(fresh_runs)
        todos.append(Todo(cell, len(fresh_sets), len(fresh_runs)))
    for item in plan.skipped:
        name = "does not apply" if item.plan.structural else "not available"
        groups.setdefault((item.plan.cell.task, item.plan.cell.learner), Counter())[name] += 1
    names = ("done", "to do", "stale", "failed", "not available", "does not apply", "trainings")
    table = Table("task", "learner", *names, box=None, header_style="bold", pad_edge=False)
    for (task, learner), counts in groups.items():
        table.add_row(task, learner, *(str(counts[name] or "") for name in names))
    output().print(table)
    print(
        f"{len(plan.cells)} cells of {plan.protocol.sets} sets x {plan.protocol.seeds} seeds; "
        f"to do: {len(seen_sets)} sets, {len(seen_runs)} trainings"
    )
    reasons = dict.fromkeys(item.plan.reason for item in plan.skipped if not item.plan.structural)
    for reason in reasons:
        print(f"not available: {reason}")
    if seen_runs or seen_sets:
        expected = forecast(todos, store, workers)
        more = ""
        if expected.unmeasured:
            cells = (
                "1 cell has"
                if expected.unmeasured_cells == 1
                else (f"{expected.unmeasured_cells} cells have")
            )
            names = ", ".join(expected.unmeasured)
            more = f"; {cells} no measured cost yet ({names}, not measured here yet)"
        print(
            f"estimate from what like work cost in this store: {_duration(expected.seconds)}{more}"
        )


def cell_state(
    cell: Cell,
    store: Store,
    sets: dict[str, SetRecord],
    runs: dict[str, tuple[Status, str]],
) -> CellState:
    """Compare a cell's expected keys with what the store has."""
    states: Counter[str] = Counter()
    trainings: set[str] = set()
    missing: set[str] = set()
    rows = store.rows_of(cell.id)
    for set_index in range(cell.n_sets):
        set_key = cell.set_key(set_index).digest
        record = sets.get(set_key)
        for seed_index in range(cell.n_seeds):
            row = rows.get((set_index, seed_index))
            if record is None:
                missing.add(set_key)
                seed = 0 if cell.learner.deterministic else seed_index
                trainings.add(f"{set_key} {cell.learner.name} {seed}")
                states["stale" if row else "to do"] += 1
                continue
            if record.status != Status.OK:
                states["failed"] += 1
                continue
            folder = store.set_folder(set_key)
            key = cell.run((set_index, seed_index), record.set_hash, folder, set_key).run_key
            status, _ = runs.get(key, (None, ""))
            if status == Status.OK:
                states["done"] += 1
            elif status == Status.FAILED:
                states["failed"] += 1
            else:
                trainings.add(key)
                states["stale" if row and row[1] != key else "to do"] += 1
    return CellState(states, trainings, missing)


def explain(cell: Cell, store: Store) -> None:
    """Print what a cell's keys are made of, and what changed since its rows were written."""
    sets, runs = store.sets(), store.run_states()
    state = cell_state(cell, store, sets, runs)
    console = Console(soft_wrap=True)

    def say(words: str) -> None:
        console.print(words, markup=False, highlight=False)

    say(f"{cell.id.label} ({describe(cell.id.params)}): {state.word}")
    say("  " + ", ".join(f"{count} runs {name}" for name, count in state.states.items()))
    key = cell.set_key(0)
    say(f"set 0 has key {key.digest}, made of")
    for name, value in key.ingredients.items():
        say(f"  {name} = {value}")
    rows = store.rows_of(cell.id)
    old = rows.get((0, 0))
    if old is not None and old[0] != key.digest:
        before = store.ingredients("sets", old[0]) or {}
        say(f"the row in the store has set key {old[0]}; what changed:")
        for line in changed_ingredients(before, key.ingredients):
            say(f"  {line}")
    record = sets.get(key.digest)
    if record is None or record.status != Status.OK:
        say("set 0 is not made yet, so its trainings have no key yet")
        return
    run = cell.run((0, 0), record.set_hash, store.set_folder(key.digest), key.digest)
    say(f"run (set 0, seed 0) has key {run.run_key}, made of")
    for name, value in run.ingredients.items():
        say(f"  {name} = {value}")
    if old is not None and old[1] and old[1] != run.run_key:
        before = store.ingredients("runs", old[1]) or {}
        say(f"the row in the store has run key {old[1]}; what changed:")
        for line in changed_ingredients(before, run.ingredients):
            say(f"  {line}")


def _find(plan: Plan, name: str) -> Cell:
    parts = name.strip().split("/")
    if len(parts) != 4:
        raise InputError(f"--why {name!r}: write it as TASK/METHOD/DPC/LEARNER")
    wanted = tuple(part.strip() for part in parts)
    names = {
        (cell.id.task, cell.id.method, cell.id.dpc, cell.id.learner): cell for cell in plan.cells
    }
    if wanted in names:
        return names[wanted]
    for item in plan.skipped:
        cell = item.plan.cell
        if (cell.task, cell.method, cell.dpc, cell.learner) == wanted:
            raise InputError(f"--why {name!r}: not available here: {item.plan.reason}")
    hint = did_you_mean("/".join(wanted), ["/".join(known) for known in names])
    raise InputError(f"--why {name!r}: no such cell in this plan.{hint[:400]}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
