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
    """The held-out examples. Labels stay with the harness; learners are given the texts only.

    `groups` says which group each row is of (a number), for tasks that have groups.
    """

    __test__ = False  # the name is no pytest class

    columns: Columns
    labels: np.ndarray
    texts_fingerprint: str
    fingerprint: str
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class _Rows:
    """A split as it was read; `groups` are the group column's values as text, or None."""

    columns: dict[str, list[str]]
    labels: np.ndarray
    groups: np.ndarray | None

    def take(self, rows: np.ndarray) -> _Rows:
        """Return some rows (numbers or a mask), in that order."""
        at = np.flatnonzero(rows) if rows.dtype == bool else rows
        return _Rows(
            {name: [texts[i] for i in at] for name, texts in self.columns.items()},
            self.labels[at],
            None if self.groups is None else self.groups[at],
        )


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

    Raises `InputError` for a missing column, an unknown label, a row without a group where the task
    has groups, a row count that differs from the catalogue's, or a class that has no example left;
    `UnavailableError` when the data cannot be had.
    """
    train = _read(task, task.train, assets)
    if task.carve is not None:
        train, test = _carve(task, train)
    else:
        test = _read(task, task.test, assets)
    kept = np.array(
        [all(text.strip() for text in row) for row in zip(*train.columns.values(), strict=True)],
        dtype=bool,
    )
    if not kept.all():
        train = train.take(kept)
    labels = train.labels
    names, pool_groups, test_groups = _numbered(train.groups, test.groups)
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
        train.columns,
        labels,
        task.classes,
        embed=pool_embed,
        services=services,
        dropped=int((~kept).sum()),
        groups=pool_groups,
        group_names=names,
    )
    texts_fingerprint = fingerprint_texts(test.columns)
    parts = [texts_fingerprint, fingerprint_array(test.labels), list(task.classes)]
    if test_groups is not None:  # scores hold figures of groups
        parts += [fingerprint_array(test_groups), list(names)]
    fingerprint = combine(*parts)
    return TaskData(
        task,
        pool,
        TestSplit(test.columns, test.labels, texts_fingerprint, fingerprint, test_groups),
    )


def _read(task: Task, split: str, assets: Assets) -> _Rows:
    table = assets.table(task.dataset, task.config, split, task.revision, task.sha256)
    where = f"task {task.name!r}, split {split!r}"
    for column in (*task.text, task.label, *task.where, *filter(None, [task.group])):
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
    groups = None
    if task.group is not None:
        lacking = [
            row
            for row, (value, absent) in enumerate(
                zip(table[task.group], table[task.group].isna(), strict=True)
            )
            if absent or not str(value).strip()
        ]
        if lacking:
            raise InputError(
                f"{where}, row {numbers[lacking[0]]}, column {task.group!r}: no group, in "
                f"{len(lacking):,} of {len(table):,} rows; fairness is of groups, so each row must "
                "name one. Fill the column, or leave `group` out of the task"
            )
        groups = np.array([str(value).strip() for value in table[task.group]], dtype=object)
    return _Rows(texts, np.array(labels, dtype=np.int64), groups)


def _numbered(
    train: np.ndarray | None, test: np.ndarray | None
) -> tuple[tuple[str, ...], np.ndarray | None, np.ndarray | None]:
    """Number the groups of both splits in the order of their names; returns (names, both)."""
    if train is None or test is None:
        return (), None, None
    names = sorted({*train, *test})
    place = {name: i for i, name in enumerate(names)}
    numbers = [np.array([place[name] for name in part], dtype=np.int64) for part in (train, test)]
    return tuple(names), numbers[0], numbers[1]


def _label(task: Task, value: Any) -> int | None:
    """Class index of a raw label, None if it is none."""
    if isinstance(value, str) and task.threshold is None:
        return task.classes.index(value) if value in task.classes else None
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if task.threshold is not None:
        return int(value >= task.threshold)
    return int(value) if 0 <= value < task.n_classes and int(value) == value else None


def _carve(task: Task, train: _Rows) -> tuple[_Rows, _Rows]:
    """Cut dev and test off the training rows, stratified. The dev part is left out of both."""
    assert task.carve is not None
    rng = numpy_generator(seed_of("carve", task=task.name, seed=task.carve.seed))
    parts: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for label in range(task.n_classes):
        rows = rng.permutation(np.flatnonzero(train.labels == label))
        n_test = round(task.carve.test * len(rows))
        n_dev = round(task.carve.dev * len(rows))
        parts["test"].append(rows[:n_test])
        parts["train"].append(rows[n_test + n_dev :])
    kept = {name: np.sort(np.concatenate(rows)) for name, rows in parts.items()}
    return train.take(kept["train"]), train.take(kept["test"])
