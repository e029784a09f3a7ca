"""Distilled sets made elsewhere: a directory with one file per set, read with care.

Each row holds the task's text column(s) and `label` (or `labels`): a class index, a class name, or
a list of class probabilities. Nothing is executed or unpickled; errors name file, line and field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.distilled import SOFT_LABEL_TOLERANCE, DistilledSet
from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.task import Task

SUFFIXES = (".jsonl", ".json", ".parquet")
MAX_FILE_BYTES = 2**30


def read_score_directory(folder: Path, task: Task) -> list[tuple[str, DistilledSet]]:
    """Return (file name, set) for each set file of a directory, or for one file, sorted by name.

    Raises `InputError` for a missing or empty directory, a file that does not parse, a missing
    field, an unknown label, or probabilities that do not sum to 1.
    """
    if folder.is_file():
        files = [folder]
    elif folder.is_dir():
        files = sorted(
            path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file()
        )
    else:
        raise InputError(f"{folder}: there is no such file or directory")
    if not files:
        raise InputError(
            f"{folder}: no set in it; one {', '.join(SUFFIXES)} file per set is needed"
        )
    return [(path.name, _read_set(path, task)) for path in files]


def _read_set(path: Path, task: Task) -> DistilledSet:
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: not one of {', '.join(SUFFIXES)}")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise InputError(
            f"{path}: larger than {MAX_FILE_BYTES // 2**20} MB, this is no distilled set"
        )
    columns: dict[str, list[str]] = {name: [] for name in task.text}
    labels: list[int | list[float]] = []
    soft: bool | None = None
    for where, row in _rows(path):
        for name in task.text:
            if name not in row:
                hint = did_you_mean(name, [str(key) for key in row])
                raise InputError(f"{where}: the field {name!r} is missing.{hint}")
            text = row[name]
            if not isinstance(text, str) or not text.strip():
                raise InputError(
                    f"{where}, field {name!r}: {_brief(text)} is no text or a blank one"
                )
            columns[name].append(text)
        field = "label" if "label" in row else "labels"
        if field not in row:
            raise InputError(f"{where}: the field 'label' is missing")
        label = _label(row[field], task, f"{where}, field {field!r}")
        if soft not in (None, isinstance(label, list)):
            raise InputError(f"{where}, field {field!r}: hard and soft labels are mixed in a file")
        soft = isinstance(label, list)
        labels.append(label)
    if not labels:
        raise InputError(f"{path}: no row in it")
    try:
        return DistilledSet.of_texts(columns, np.array(labels), task.classes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix == ".parquet":
        import pandas as pd

        try:
            table = pd.read_parquet(path)
        except Exception as error:  # pyarrow's errors have no common base
            raise InputError(f"{path}: not a readable Parquet file: {error}") from error
        for number, row in enumerate(table.to_dict("records"), start=1):
            yield f"{path}, row {number}", row
        return
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8: {error}") from error
    listed = _listed(text) if path.suffix == ".json" else None
    for number, row in enumerate(listed or (), start=1):
        yield _object(row, f"{path}, row {number}")
    if listed is not None:
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        yield _object(_parsed(line, where), where)


def _listed(text: str) -> list[Any] | None:
    """The rows of a file that is one list; None of any other, which has an object a line."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = _parsed(text, "")
    except InputError:
        return None
    return found


def _object(row: Any, where: str) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(row, dict):
        raise InputError(f"{where}: a JSON object is needed, one a line or all in a list")
    return where, row


def _parsed(text: str, where: str) -> Any:
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON: {error}") from error
    return value


def _label(value: Any, task: Task, where: str) -> int | list[float]:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        if len(value) != task.n_classes:
            raise InputError(f"{where}: {len(value)} probabilities for {task.n_classes} classes")
        most = 1 + SOFT_LABEL_TOLERANCE
        good = all(
            isinstance(p, int | float) and not isinstance(p, bool) and 0 <= p <= most for p in value
        )
        if not good:
            raise InputError(f"{where}: probabilities are numbers from 0 to 1")
        if abs(sum(value) - 1) > SOFT_LABEL_TOLERANCE:
            raise InputError(f"{where}: the probabilities sum to {sum(value):.4g}, not to 1")
        return [float(p) for p in value]
    if isinstance(value, str):
        if value in task.classes:
            return task.classes.index(value)
        raise InputError(
            f"{where}: unknown class {value!r}.{did_you_mean(value, list(task.classes))}"
        )
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{where}: {_brief(value)} is no class index, class name or list")
    if isinstance(value, float | np.floating) and not value.is_integer():
        raise InputError(f"{where}: class index {value} is no whole number")
    if not 0 <= value < task.n_classes:
        raise InputError(f"{where}: class index {value} is not in 0 to {task.n_classes - 1}")
    return int(value)


def _brief(value: Any) -> str:
    """A value as a message shows it: what was meant may be a whole column."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
