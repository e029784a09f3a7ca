"""The rows that a leaderboard is made of: their columns, checked and put into one order.

One line per planned and attempted run. A cell that could not be run at all is one line with
``set_index = seed_index = -1`` (a placeholder). Nothing here or above it reads a clock, a host or
an environment: what a page says comes from these columns alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from benchmark.core.errors import InputError
from benchmark.core.records import Status

CELL = ["suite", "task", "method", "params", "dpc", "learner"]
IDENTITY = [*CELL, "set_index", "seed_index"]
PLAN = ["planned_sets", "planned_seeds", "info"]
"""What the plan says of a cell, the same on each of its rows."""

METRICS = ["accuracy", "macro_f1", "f1", "matthews", "accuracy_f1"]
COSTS = ["distil_seconds", "train_seconds", "predict_seconds", "peak_memory_mb"]
SIZES = ["set_rows", "set_words", "set_bytes", "set_floats"]
SHARES = ["copies", "overlap_train", "overlap_test"]
QUALITY = ["set_tokens", "distinct_1", "distinct_2", "label_agreement"]

HALVES = ["low_overlap", "high_overlap"]
"""Accuracy on the test pairs that share few of their words, and many; of pair tasks only."""

FAIRNESS = ["tpr_gap", "worst_group"]
"""How far groups of test rows are apart; of tasks with groups only."""

RARE = ["perplexity", "epsilon", "delta", "lm_tokens"]
"""What few suites know: perplexity under a language model that was named; what a method says of its
sets, the privacy it spent and the tokens of a language model."""

INTEGERS = ["set_index", "seed_index", "planned_sets", "planned_seeds"]
FLOATS = [
    "score",
    *METRICS,
    *COSTS,
    *SIZES,
    *SHARES,
    *QUALITY,
    *HALVES,
    *FAIRNESS,
    *RARE,
    "created",
]
COLUMNS = [
    *IDENTITY, "status", "reason", "metric", "score", *METRICS, "set_key", "set_hash", "run_key",
    "planned_sets", "planned_seeds", "structural", *COSTS, "device", *SIZES, *SHARES,
    "environment", "created", "info", "preparation", *QUALITY, *HALVES,
    *FAIRNESS, *RARE, "perplexity_model",
]  # fmt: skip
OPTIONAL = {
    "preparation": "",
    "perplexity_model": "",
    **dict.fromkeys([*QUALITY, *HALVES, *FAIRNESS, *RARE], float("nan")),
}
"""Columns that rows of an earlier version lack, and what they then hold."""


def normalise(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the listed columns with one type each, sorted by identity; the frame is not changed.

    Raises:
        InputError: a column is missing, a number is none, a status or DPC is not known, a JSON
            text does not parse, or two rows stand for the same run.
    """
    frame = frame.assign(**{name: v for name, v in OPTIONAL.items() if name not in frame})
    if missing := [name for name in COLUMNS if name not in frame]:
        raise InputError(f"the rows lack the columns {', '.join(missing)}")
    columns = {}
    for name in COLUMNS:
        values = frame[name]
        if name in INTEGERS or name in FLOATS:
            columns[name] = _numbers(values, int if name in INTEGERS else float)
        elif name == "structural":
            columns[name] = np.array([value is True or value == 1 for value in values], dtype=bool)
        else:
            columns[name] = _texts(values)
    rows = pd.DataFrame(columns)
    _check(rows)
    return rows.sort_values(IDENTITY, kind="stable", ignore_index=True)


def within_plan(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that count now: of the present plan, placeholders only where alone.

    Rows of an earlier, bigger plan are left out. A run that is `ok` without a finite score is
    `failed` from here on: no number can be shown for it.
    """
    placeholder = rows["set_index"] < 0
    real = (rows["set_index"] < rows.planned_sets) & (rows["seed_index"] < rows.planned_seeds)
    cells = rows.groupby(CELL, sort=False).ngroup().to_numpy()
    filled = np.isin(cells, cells[(real & ~placeholder).to_numpy()])
    rows = rows[np.where(placeholder, ~filled, real)].reset_index(drop=True)
    broken = (rows.status == Status.OK) & ~np.isfinite(rows.score)
    return rows.assign(
        status=rows.status.mask(broken, Status.FAILED.value),
        reason=rows.reason.mask(broken, "the score is not a number"),
    )


def digest(rows: pd.DataFrame) -> str:
    """Return 16 hex digits that change if any value of any row does (rows normalised before)."""
    total = hashlib.sha256()
    for name in COLUMNS:
        values = rows[name].to_numpy()
        if name in OPTIONAL and ((values == OPTIONAL[name]) | (values != values)).all():
            continue  # rows of an earlier version keep their digest
        if values.dtype == np.float64:
            data = np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes()
        else:
            data = json.dumps(values.tolist(), ensure_ascii=True).encode()
        total.update(f"{name} {len(data)} ".encode() + data)
    return total.hexdigest()[:16]


@lru_cache(maxsize=65_536)
def parse(text: str) -> Mapping[str, Any]:
    """Return the object in a JSON text ("" is an empty one). Shared: it must not be changed."""
    try:
        value = json.loads(text or "{}", parse_constant=_no_json)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"not a JSON object in the rows: {text[:80]!r}")
    return value


def place(info: Mapping[str, Any], name: str) -> float:
    """Return a place in the catalogue (`task_order` and so on), the last if there is none."""
    value = info.get(name)
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else np.inf


def dpc_number(dpc: str) -> float:
    """Return a DPC text as a number, to sort by."""
    try:
        value = float(dpc)
    except ValueError:
        value = np.nan
    if not (np.isfinite(value) and value >= 0):
        raise InputError(f"dpc must be a number in a text, such as '10', not {dpc!r}")
    return value


def _numbers(values: pd.Series, kind: type) -> np.ndarray:
    try:
        numbers = pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(f"column {values.name} holds something that is no number") from error
    if kind is float:
        return numbers
    if not np.isfinite(numbers).all():
        raise InputError(f"column {values.name} has rows without a value")
    return numbers.astype(np.int64)


def _texts(values: pd.Series) -> np.ndarray:
    codes, distinct = pd.factorize(values)  # a missing value has code -1
    return np.array([*map(str, distinct), ""], dtype=object)[codes]


def _no_json(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check(rows: pd.DataFrame) -> None:
    known = [status.value for status in Status]
    if odd := sorted(set(rows.status.unique()) - set(known)):
        raise InputError(f"status must be {', '.join(known)}, not {odd[0]!r}")
    for dpc in rows.dpc.unique():
        dpc_number(dpc)
    for name in ("params", "environment", "info", "preparation"):
        for text in rows[name].unique():
            parse(text)
    repeated = rows.duplicated(IDENTITY)
    if repeated.any():
        first = rows.loc[repeated.idxmax(), IDENTITY]
        raise InputError(f"two rows for one run: {' / '.join(map(str, first))}")
