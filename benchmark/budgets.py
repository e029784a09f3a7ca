"""Budgets: from DPC or a ratio to a number of examples for each class, checked against the pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.cells import Cell, TaskFacts
from benchmark.core.catalogue import Block
from benchmark.core.errors import InputError
from benchmark.core.method import Budget, Method
from benchmark.core.task import Task


@dataclass(frozen=True)
class Budgeted:
    """One column of a method: how its budget is printed and counted."""

    label: str
    budget: Budget


def budgets_of(
    method: Method,
    block: Block,
    ratio: Sequence[float] | None,
    facts: TaskFacts | None,
    task: Task,
) -> list[Budgeted]:
    """The budgets of one method on one task: one for each DPC or ratio, or the whole pool."""
    if method.budget == "none":
        counts = facts.class_counts if facts else (1,) * task.n_classes
        return [Budgeted("0", Budget(counts))]
    if ratio is None:
        return [Budgeted(str(dpc), Budget.dpc(dpc, task.n_classes)) for dpc in block.dpc]
    if facts is None:  # nothing will be run; the catalogue's row count gives the column's name
        known = task.rows.get(task.train, task.n_classes)
        facts = TaskFacts("", "", (known,) * task.n_classes, known, 0, 0)
    budgets = [_by_ratio(value, facts) for value in ratio]
    # Shares of a small training set may come to the same rows: one column then.
    return list({budgeted.label: budgeted for budgeted in budgets}.values())


def _by_ratio(ratio: float, facts: TaskFacts) -> Budgeted:
    """round(ratio x rows) examples, spread over the classes as evenly as can be, at least one each.

    A class that has fewer rows than its share gives all it has, and the others take the rest.
    """
    n_classes = len(facts.class_counts)
    total = max(n_classes, round(ratio * facts.train_rows))
    return Budgeted(label_of(total, n_classes), spread(total, facts.class_counts))


def label_of(total: int, n_classes: int) -> str:
    """How tables print a budget of so many rows."""
    return f"{total / n_classes:.4g}"


def spread(total: int, class_counts: Sequence[int]) -> Budget:
    """Spread rows over the classes as evenly as can be; no class gives more than it has."""
    counts = np.array(class_counts)
    given = np.zeros(len(counts), dtype=int)
    for _ in range(min(total, int(counts.sum()))):
        open_classes = np.flatnonzero(given < counts)
        given[open_classes[given[open_classes].argmin()]] += 1
    return Budget(tuple(int(n) for n in given))


def budgets_named(label: str, class_counts: Sequence[int]) -> list[Budget]:
    """Return the budgets that tables print as `label`: by DPC, and by a ratio of the rows."""
    n_classes, value = len(class_counts), float(label)
    if value == 0:
        return [Budget(tuple(class_counts))]
    found = [Budget.dpc(int(value), n_classes)] if label == str(int(value)) else []
    middle, rounding = value * n_classes, 1 + value * n_classes / 1000
    last = int(min(middle + rounding, sum(class_counts)))
    for total in range(max(n_classes, int(min(middle - rounding, last))), last + 1):
        if label_of(total, n_classes) == label:
            found.append(spread(total, class_counts))
    return list(dict.fromkeys(found))


def check_budgets(cells: Iterable[Cell]) -> None:
    """Refuse a budget that a task cannot give, before anything is computed."""
    for cell in cells:
        if not cell.method.draws_rows or cell.method.budget == "none":
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
                    "draw; give a lower --dpc, or leave the task out with --tasks-only"
                )
