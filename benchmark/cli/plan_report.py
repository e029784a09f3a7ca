"""What `plan` and `run --dry-run` print: the state of every cell, and what is still to be spent."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmark.cells import Cell
from benchmark.cli.console import output
from benchmark.core.assets import sizes
from benchmark.core.library import Library
from benchmark.core.records import SetRecord, Status
from benchmark.core.vector_cache import tokens_billed
from benchmark.estimate import Todo
from benchmark.fits import check_memory
from benchmark.footprint import footprint
from benchmark.forecast import forecast
from benchmark.plan import Plan
from benchmark.store import Store

COLUMNS = ("done", "to do", "stale", "failed", "to fetch", "not available", "does not apply")
GB = 1e9


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


@contextmanager
def to_look_at(root: Path) -> Iterator[Store]:
    """Open a store; where there is none yet, an empty one that leaves no trace."""
    with tempfile.TemporaryDirectory() as nothing:
        is_there = (root / "rows.sqlite").is_file() or root.is_file()  # a file is refused
        opened = Store(root, writes=False) if is_there else Store(Path(nothing))
        try:
            yield opened
        finally:
            opened.close()


def refuse_what_does_not_fit(
    plan: Plan, store: Store, gigabytes: float | None, retry_failed: bool = False
) -> None:
    """Refuse sets that are still to be made and need more memory than there is on this machine."""

    made = store.sets()

    def lacks_sets(cell: Cell) -> bool:
        keys = (cell.set_key(index).digest for index in range(cell.n_sets))
        return any(key not in made or not made[key].is_settled(retry_failed) for key in keys)

    check_memory(plan.cells, None if gigabytes is None else gigabytes * GB, lacks_sets)


def print_plan(
    plan: Plan,
    store: Store,
    library: Library,
    workers: int = 1,
    retry_failed: bool = False,
    executor: str = "local",
) -> None:
    """Print one line per task and learner, what is to be fetched, and the estimates.

    With `retry_failed`, what failed is to do again. The time is that of `workers` on this machine,
    whatever the executor.
    """
    known_sets, runs = store.sets(), store.run_states()
    seen_sets: set[str] = set()
    seen_runs: set[str] = set()
    groups: dict[tuple[str, str], Counter[str]] = {}
    todos: list[Todo] = []
    for cell in plan.cells:
        state = cell_state(cell, store, known_sets, runs, retry_failed)
        group = groups.setdefault((cell.id.task, cell.id.learner), Counter())
        group[state.word] += 1
        fresh_sets, fresh_runs = state.sets - seen_sets, state.trainings - seen_runs
        seen_sets |= fresh_sets
        seen_runs |= fresh_runs
        group["trainings"] += len(fresh_runs)
        todos.append(Todo(cell, len(fresh_sets), len(fresh_runs)))
    waiting = 0
    for item in plan.skipped:
        name = "does not apply" if item.plan.structural else "not available"
        if item.plan.reason in library.to_fetch:
            name, waiting = "to fetch", waiting + 1
        groups.setdefault((item.plan.cell.task, item.plan.cell.learner), Counter())[name] += 1
    names = (*(name for name in COLUMNS if any(counts[name] for counts in groups.values())),)
    table = Table(
        "task", "learner", *names, "trainings", box=None, header_style="bold", pad_edge=False
    )
    for (task, learner), counts in groups.items():
        table.add_row(task, learner, *(str(counts[name] or "") for name in (*names, "trainings")))
    output().print(table)
    print(
        f"{len(plan.cells)} cells of {plan.protocol.sets} sets x {plan.protocol.seeds} seeds; "
        f"to do: {len(seen_sets)} sets, {len(seen_runs)} trainings"
    )
    if tokens := tokens_billed(store.root / "features"):
        print(f"tokens that endpoints have billed in this store so far: {tokens:,}")
    reasons = dict.fromkeys(item.plan.reason for item in plan.skipped if not item.plan.structural)
    for reason in reasons:
        if reason not in library.to_fetch:
            print(f"not available: {reason}")
    if waiting:
        _print_downloads(waiting, library)
    if seen_runs or seen_sets:
        _print_estimates(todos, store, plan, library, workers, executor)


def _print_downloads(waiting: int, library: Library) -> None:
    """Say what the cells that are not counted yet wait for, and how large it is."""
    wanted = list(dict.fromkeys(library.to_fetch.values()))
    found, why = sizes(wanted)
    total = f"{_bytes(sum(found.values()))}" if found else "of unknown size"
    if found and len(found) < len(wanted):
        total += f" and {len(wanted) - len(found)} of unknown size"
    print(f"to fetch: {waiting} cells wait for a download from the hub, {total}")
    for download in wanted:
        size = _bytes(found[download]) if download in found else "size not known"
        print(f"  {download.kind} {download.label}: {size}")
    if why:
        print(f"  {why}")


def _print_estimates(
    todos: list[Todo], store: Store, plan: Plan, library: Library, workers: int, executor: str
) -> None:
    expected = forecast(todos, store, workers)
    time = _duration(expected.seconds)
    if expected.unmeasured:
        n = expected.unmeasured_cells
        cells = "1 cell has" if n == 1 else f"{n} cells have"
        names = ", ".join(expected.unmeasured)
        time = "not known" if expected.seconds < 1 else time
        time += f"; {cells} no measured cost yet ({names}, not measured here yet)"
    if executor == "ray":  # nobody knows how many nodes there will be
        plural = "worker" if workers == 1 else "workers"
        time += f" (for {workers} local {plural} of this machine, not for the cluster)"
    print(f"time, estimated from similar work in this store: {time}")
    takes = footprint(todos, store, keep_logits=plan.keep_logits)
    told = f"{_bytes(takes.memory)} a worker, by {takes.memory_of}" if takes.memory else "not known"
    if takes.unmeasured:
        told += f"; not measured here yet: {', '.join(takes.unmeasured)}"
    print(f"memory: {told}")
    free = shutil.disk_usage(_existing(library.config.store)).free
    short = "; NOT ENOUGH" if takes.disk > free else ""
    told = f"about {_bytes(takes.disk)} beside what methods learn"
    print(f"disk: {told}, {_bytes(free)} are free{short}")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def cell_state(
    cell: Cell,
    store: Store,
    sets: dict[str, SetRecord],
    runs: dict[str, tuple[Status, str]],
    retry_failed: bool = False,
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
            if record is None or not record.is_settled(retry_failed):
                missing.add(set_key)
                seed = 0 if cell.learner.deterministic else seed_index
                trainings.add(f"{set_key} {cell.learner.name} {seed}")
                states["stale" if row and row[0] != set_key else "to do"] += 1
                continue
            if record.status != Status.OK:
                states["failed"] += 1
                continue
            folder = store.set_folder(set_key)
            key = cell.run((set_index, seed_index), record.set_hash, folder, set_key).run_key
            status, _ = runs.get(key, (None, ""))
            if status == Status.OK:
                states["done"] += 1
            elif status == Status.FAILED and not retry_failed:
                states["failed"] += 1
            else:
                trainings.add(key)
                states["stale" if row and row[1] != key else "to do"] += 1
    return CellState(states, trainings, missing)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"
