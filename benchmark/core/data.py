"""Reading a task's data: raw table in, a pool and a held-out test split out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.core.assets import Assets
from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.keys import combine, fingerprint_array, fingerprint_texts
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from benchmark.core.services import Columns, Services
from benchmark.core.task import Task


@dataclass(frozen=True)
class TestSplit:
    """The held-out examples. Labels stay with the harness; learners are given the texts only."""

    __test__ = False  # the name is no pytest class

    columns: Columns
    labels: np.ndarray
    texts_fingerprint: str
    fingerprint: str


@dataclass(frozen=True)
class TaskData:
    """A task with its data."""

    task: Task
    pool: Pool
    test: TestSplit


def load_task(
    task: Task,
    assets: Assets,
    embed: Callable[[str, Pool], np.ndarray] | None = None,
    services: Services | None = None,
) -> TaskData:
    """Read a task. Blank pool rows are dropped and counted; the test split is never filtered.

    `embed(encoder, pool)` gives features of the whole pool; `services` are handed to it.

    Raises `InputError` for a missing column, an unknown label, a row count that differs from the
    catalogue's, or a class that has no example left; `UnavailableError` when the data cannot be
    had.
    """
    train = _read(task, task.train, assets)
    if task.carve is not None:
        train, test = _carve(task, train)
    else:
        test = _read(task, task.test, assets)
    columns, labels = train
    kept = np.array(
        [all(text.strip() for text in row) for row in zip(*columns.values(), strict=True)],
        dtype=bool,
    )
    if not kept.all():
        columns = {
            name: [text for text, keep in zip(texts, kept, strict=True) if keep]
            for name, texts in columns.items()
        }
        labels = labels[kept]
    counts = np.bincount(labels, minlength=task.n_classes)
    if (counts == 0).any():
        missing = ", ".join(repr(task.classes[i]) for i in np.flatnonzero(counts == 0))
        raise InputError(
            f"task {task.name!r}: no training example of class {missing}; "
            "check `classes` and `label` of the task against its data"
        )
    pool_embed = None
    if embed is not None:

        def pool_embed(encoder: str) -> np.ndarray:
            return embed(encoder, pool)

    pool = Pool(
        task.name,
        columns,
        labels,
        task.classes,
        embed=pool_embed,
        services=services,
        dropped=int((~kept).sum()),
    )
    texts_fingerprint = fingerprint_texts(test[0])
    fingerprint = combine(texts_fingerprint, fingerprint_array(test[1]), list(task.classes))
    return TaskData(task, pool, TestSplit(*test, texts_fingerprint, fingerprint))


def _read(task: Task, split: str, assets: Assets) -> tuple[dict[str, list[str]], np.ndarray]:
    table = assets.table(task.dataset, task.config, split, task.revision, task.sha256)
    where = f"task {task.name!r}, split {split!r}"
    for column in (*task.text, task.label, *task.where):
        if column not in table.columns:
            raise InputError(
                f"{where}: no column {column!r}.{did_you_mean(column, list(table.columns))}"
            )
    expected = task.rows.get(split)
    if expected is not None and len(table) != expected:
        raise InputError(f"{where}: {len(table):,} rows, the catalogue says {expected:,}")
    table = table.reset_index(drop=True)  # errors name rows as the file has them
    for column, value in task.where.items():
        table = table[table[column] == value]
    if table.empty:
        raise InputError(
            f"{where}: no row in it{' where ' + str(task.where) if task.where else ''}"
        )
    numbers = table.index.tolist()
    texts = {}
    for name in task.text:
        values = table[name].tolist()
        absent = table[name].isna().tolist()
        for row, value in enumerate(values):
            if absent[row]:  # a missing text is a blank one
                values[row] = ""
            elif not isinstance(value, str):
                raise InputError(
                    f"{where}, row {numbers[row]}, column {name!r}: {value!r} is no text"
                )
        texts[name] = values
    labels = [_label(task, value) for value in table[task.label].tolist()]
    if None in labels:
        row = labels.index(None)
        raise InputError(
            f"{where}, row {numbers[row]}, column {task.label!r}: label "
            f"{table[task.label].tolist()[row]!r} is none of the {task.n_classes} classes"
        )
    return texts, np.array(labels, dtype=np.int64)


def _label(task: Task, value: Any) -> int | None:
    """Class index of a raw label, None if it is none."""
    if isinstance(value, str) and task.threshold is None:
        return task.classes.index(value) if value in task.classes else None
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if task.threshold is not None:
        return int(value >= task.threshold)
    return int(value) if 0 <= value < task.n_classes and int(value) == value else None


def _carve(
    task: Task, train: tuple[dict[str, list[str]], np.ndarray]
) -> tuple[tuple[dict[str, list[str]], np.ndarray], tuple[dict[str, list[str]], np.ndarray]]:
    """Cut dev and test off the training rows, stratified. The dev part is left out of both."""
    assert task.carve is not None
    columns, labels = train
    rng = numpy_generator(seed_of("carve", task=task.name, seed=task.carve.seed))
    parts: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for label in range(task.n_classes):
        rows = rng.permutation(np.flatnonzero(labels == label))
        n_test = round(task.carve.test * len(rows))
        n_dev = round(task.carve.dev * len(rows))
        parts["test"].append(rows[:n_test])
        parts["train"].append(rows[n_test + n_dev :])

    def take(part: str) -> tuple[dict[str, list[str]], np.ndarray]:
        rows = np.sort(np.concatenate(parts[part]))
        return {name: [texts[i] for i in rows] for name, texts in columns.items()}, labels[rows]

    return take("train"), take("test")
