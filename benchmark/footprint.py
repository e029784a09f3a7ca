"""Memory and disk that a plan will take, and what nothing is known of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmark.cells import Cell
from benchmark.estimate import Todo, encodings
from benchmark.store import Store

BYTES_A_WORD = 8.0  # of a stored set's text: the word, its blank, quoting
BYTES_A_SET = 8_000.0  # its description and journal; 5 to 9 kB in four stores
BYTES_A_TRAINING = 18_000.0  # its rows, and 17 kB of them in MLflow's database
PROCESS_BYTES = 600e6  # Python with torch and transformers imported
WIDTH = 384  # of features whose encoder was not measured here: MiniLM's


@dataclass(frozen=True)
class Footprint:
    """What a run takes at most, in bytes.

    Attributes
    ----------
    memory : peak of one worker, of what is known; `memory_of` names who needs it.
    disk : sets, features, predictions, rows and MLflow's mirror; not the states that methods learn.
    unmeasured : methods and learners whose memory is not known yet.
    """

    memory: float
    memory_of: str
    disk: float
    unmeasured: tuple[str, ...] = field(default=())


def footprint(todos: Iterable[Todo], store: Store, *, keep_logits: bool = False) -> Footprint:
    """Estimate from the store's own peaks, from what methods tell, and from counts."""
    todos = list(todos)
    methods, learners, floats = _peaks(store)
    most, whose = 0.0, ""
    unknown: set[str] = set()
    disk = 0.0
    features: dict[str, float] = {}
    width = _width(store.root / "features")
    for todo in todos:
        cell = todo.cell
        for name, peak in _needs(todo, methods, learners):
            if peak is None:
                unknown.add(name)
            elif peak > most:
                most, whose = peak, name
        rows = float(sum(cell.budget.per_class))
        words = float(np.mean(cell.facts.pool_words)) if len(cell.facts.pool_words) else 20.0
        content = rows * words * BYTES_A_WORD + 4 * floats.get(cell.method.name, 0.0) * rows
        disk += todo.sets * (BYTES_A_SET + content)
        each = float(cell.facts.test_rows) * (1 if len(cell.classes) <= 256 else 2)
        if keep_logits:
            each += 4.0 * cell.facts.test_rows * len(cell.classes)
        disk += todo.trainings * (BYTES_A_TRAINING + each)
        features |= _features(todo, store, width)
    return Footprint(most, whose, disk + sum(features.values()), tuple(sorted(unknown)))


def _needs(
    todo: Todo, methods: Mapping[str, float], learners: Mapping[str, float]
) -> Iterable[tuple[str, float | None]]:
    """Peaks of a cell's method and learner in bytes, None where nothing is known."""
    cell = todo.cell
    if todo.sets:
        told = cell.method.need(cell.outline, cell.budget).bytes
        known = methods.get(cell.method.name)
        yield cell.method.name, told + PROCESS_BYTES if told else known
    if todo.trainings:
        name = cell.learner.name
        base = name.partition("@")[0]
        like = [peak for other, peak in learners.items() if other.partition("@")[0] == base]
        yield name, learners.get(name, max(like, default=None))


def _peaks(store: Store) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Largest peaks in the store by method and by learner, and floats of a set's row by method."""
    methods: dict[str, float] = {}
    floats: dict[str, float] = {}
    for record in store.sets().values():
        name = str(record.ingredients.get("method"))
        peak = record.facts.get("distil_memory_mb", 0.0) * 2**20
        methods[name] = max(methods.get(name, 0.0), peak)
        rows = record.facts.get("rows", 0.0)
        if rows:
            floats[name] = max(floats.get(name, 0.0), record.facts.get("floats", 0.0) / rows)
    learners: dict[str, float] = {}
    found = store.database.execute(
        "SELECT DISTINCT r.learner, u.costs FROM rows r JOIN runs u USING (run_key)"
        " WHERE u.status = 'ok'"
    )
    for learner, text in found:
        peak = json.loads(text).get("peak_memory_mb", 0.0) * 2**20
        learners[learner] = max(learners.get(learner, 0.0), peak)
    return methods, learners, floats


def _features(todo: Todo, store: Store, width: int) -> dict[str, float]:
    """Bytes of each matrix of features that a cell needs and the store lacks."""
    cell: Cell = todo.cell
    needed = encodings(cell, store, sets=todo.sets > 0, trainings=todo.trainings > 0)
    longest = max(cell.facts.train_rows, cell.facts.test_rows)
    return {key: 4.0 * longest * width for key in needed}


def _width(folder: Path) -> int:
    """Numbers in a row of features, as the widest matrix in the store has them."""
    widths = []
    for path in folder.glob("*.npy"):
        try:
            widths.append(int(np.load(path, mmap_mode="r").shape[1]))
        except (OSError, ValueError, IndexError):
            continue
    return max(widths, default=WIDTH)
