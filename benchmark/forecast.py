"""The wall time that a plan will take, and of how many cells nothing like them was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.cells import Cell
from benchmark.core.outline import Outline
from benchmark.core.threads import usable_cores
from benchmark.estimate import Costs, Todo, encodings
from benchmark.makespan import Step, makespan
from benchmark.store import Store


@dataclass(frozen=True)
class Forecast:
    """Seconds of all that was measured; the cells, methods, learners and encoders that were not."""

    seconds: float
    unmeasured_cells: int
    unmeasured: tuple[str, ...]


def forecast(todos: Iterable[Todo], store: Store, workers: int = 1) -> Forecast:
    """Estimate from the store's own costs; task after task, as it is run.

    With several workers, sets and cells are dealt out in order: a set waits for what its method
    learns, a cell for its sets. A learner that uses all threads of
    its process (`threaded`) gains nothing from workers that share the machine's cores.
    """
    todos = list(todos)
    outlines: dict[str, Outline] = {}
    for todo in todos:  # methods name different models
        here = todo.cell.outline
        known = outlines.get(todo.cell.id.task, here)
        outlines[todo.cell.id.task] = replace(here, models={**known.models, **here.models})
    costs = Costs.measured(store, outlines)
    by_task: dict[str, list[Todo]] = {}
    for todo in todos:
        by_task.setdefault(todo.cell.id.task, []).append(todo)
    unmeasured: set[str] = set()
    cells = 0
    seconds = hiding = 0.0
    for works in by_task.values():
        spent, native, lacking = _task(works, costs, store, workers)
        seconds += spent
        hiding += native
        cells += sum(map(bool, lacking))
        unmeasured.update(*lacking)
    starting, each = costs.mirror
    sending = each * sum(todo.trainings for works in by_task.values() for todo in works)
    if seconds:  # MLflow shares the interpreter: only work outside of it goes on meanwhile
        seconds += max(0.0, starting + sending - hiding)
    return Forecast(seconds, cells, tuple(sorted(unmeasured)))


def _task(
    works: Sequence[Todo], costs: Costs, store: Store, workers: int
) -> tuple[float, float, list[set[str]]]:
    """Seconds of one task, those of native code, and for each cell what was not measured."""
    slower = min(workers, usable_cores())
    encoded: dict[str, float] = {}
    steps: list[Step] = []
    cells: list[Step] = []
    sets_of: dict[tuple[str, ...], tuple[int, ...]] = {}
    native = 0.0
    prepared: set[str] = set()
    states: dict[Path, int] = {}
    begun = False
    lacking: list[set[str]] = []
    for todo in works:
        cell, unknown = todo.cell, set()
        needed = encodings(cell, store, sets=todo.sets > 0, trainings=todo.trainings > 0)
        for key, (encoder, words) in needed.items():
            if encoder not in costs.encoding:
                unknown.add(encoder)
            encoded[key] = words * costs.encoding.get(encoder, 0.0)
        if todo.sets:
            state = cell.state_folder(store.root)
            if state is not None and state not in states and not state.is_dir():
                states[state] = len(steps)
                learning = costs.state(cell)
                if learning is None:
                    unknown.add(cell.method.name)
                steps.append(Step(learning or 0.0))
            one = costs.set(cell)
            if one is None:
                unknown.add(cell.method.name)
            elif not begun:
                steps.append(Step(costs.beginning(cell)))
            begun = True
            learned = (states[state],) if state in states else ()
            first = len(steps)
            steps += [Step(one or 0.0, learned)] * todo.sets
            sets_of[_origin(cell)] = tuple(range(first, len(steps)))
        if todo.trainings:
            one = costs.training(cell)
            if one is None:
                unknown.add(cell.learner.name)
            job = todo.trainings * (one or 0.0)
            native += job if cell.learner.threaded else 0.0
            if cell.learner.name not in prepared:
                prepared.add(cell.learner.name)
                job += costs.preparation(cell)
            job *= slower if cell.learner.threaded else 1
            cells.append(Step(job, sets_of.get(_origin(cell), ())))
        lacking.append(unknown)
    encoding = sum(encoded.values())
    return encoding + makespan(steps + cells, workers), encoding + native, lacking


def _origin(cell: Cell) -> tuple[str, ...]:
    """What cells share that differ in the learner only: their sets."""
    return cell.id.method, cell.id.params, cell.id.dpc
