"""What `plan --why` prints: what a cell's keys are made of, what changed, and why runs failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console

from benchmark.cells import Cell
from benchmark.cli.plan_report import cell_state
from benchmark.core.keys import changed_ingredients
from benchmark.core.records import CellId, SetRecord, Status
from benchmark.plan import describe
from benchmark.store import Store


def explain(cell: Cell, store: Store) -> None:
    """Print what a cell's keys are made of, and what changed since its rows were written."""
    sets = store.sets()
    state = cell_state(cell, store, sets, store.run_states())
    console = Console(soft_wrap=True)

    def say(words: str) -> None:
        console.print(words, markup=False, highlight=False)

    say(f"{cell.id.label} ({describe(cell.id.params)}): {state.word}")
    say("  " + ", ".join(f"{count} runs {name}" for name, count in state.states.items()))
    for line in _failures(cell, store, sets):
        say(line)
    key = cell.set_key(0)
    say(f"set 0 has key {key.digest}, made of")
    for name, value in key.ingredients.items():
        say(f"  {name} = {value}")
    rows = store.rows_of(cell.id)
    told = "the row in the store has"
    if not rows and (near := _nearest(cell.id, store)):
        say(f"the store has this cell with other parameters: {describe(near.params)}")
        rows, told = store.rows_of(near), "its row has"
    old = rows.get((0, 0))
    if old is not None and old[0] != key.digest:
        before = store.ingredients("sets", old[0]) or {}
        say(f"{told} set key {old[0]}; what changed:")
        for line in changed_ingredients(before, key.ingredients):
            say(f"  {line}")
    record = sets.get(key.digest)
    if record is None or record.status != Status.OK:
        what = "is not made yet" if record is None else "failed"
        say(f"set 0 {what}, so its trainings have no key yet")
        return
    run = cell.run((0, 0), record.set_hash, store.set_folder(key.digest), key.digest)
    say(f"run (set 0, seed 0) has key {run.run_key}, made of")
    for name, value in run.ingredients.items():
        say(f"  {name} = {value}")
    if old is not None and old[1] and old[1] != run.run_key:
        before = store.ingredients("runs", old[1]) or {}
        say(f"{told} run key {old[1]}; what changed:")
        for line in changed_ingredients(before, run.ingredients):
            say(f"  {line}")


def _nearest(cell: CellId, store: Store) -> CellId | None:
    """The cell of the store that differs in the fewest parameters only, the latest of several."""
    wanted = json.loads(cell.params)
    others = store.other_params(cell)
    if not others:
        return None
    return replace(
        cell,
        params=min(others, key=lambda text: len(changed_ingredients(json.loads(text), wanted))),
    )


def _failures(cell: Cell, store: Store, sets: dict[str, SetRecord]) -> Iterator[str]:
    """A line for each reason for which sets or trainings of the cell failed."""
    failed = store.failed_runs()
    places: dict[str, dict[str, str]] = {}  # reason to key to the first place that has it
    for set_index, seed_index in cell.indices:
        key, place = cell.set_key(set_index).digest, f"set {set_index}"
        record = sets.get(key)
        if record is None:
            continue
        reason: str | None = record.reason
        if record.status == Status.OK:
            folder = store.set_folder(key)
            key = cell.run((set_index, seed_index), record.set_hash, folder, key).run_key
            reason, place = failed.get(key), f"the training of {place}, seed {seed_index}"
        if reason is not None:
            places.setdefault(reason, {}).setdefault(key, place)
    for reason, keys in places.items():
        more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
        yield f"failed: {next(iter(keys.values()))}{more}: {reason}"
