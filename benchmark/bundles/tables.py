"""Reading a bundle's tables without trusting them: types and sizes first, values after."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.bundles.layout import ENVIRONMENTS, FORMAT, HEAD, ROWS
from benchmark.core.errors import InputError
from benchmark.core.records import Status
from leaderboards.publish import SAFE_NAME
from leaderboards.rows import CELL, COLUMNS, FLOATS, INTEGERS, normalise

MAX_ROWS = 2_000_000
MAX_TEXT = 2**31
"""Bytes of a column's texts when they are all written out."""

MAX_VALUE = 2**16
"""Bytes of one text: the longest recipe and list of versions have a few thousand."""

BYTES_A_ROW, BYTES_OF_A_FILE = 2**11, 2**26
"""What `rows.parquet` may unpack to, by what its head says: some for each row, and some in all."""

KEY = re.compile(r"[0-9a-f]{40}")
HEAD_FIELDS = {"format": int, "suite": str, "rows": int, "benchmark": str}
NESTED = 20
"""Depth of JSON that anything of ours has; deeper JSON is not parsed."""


def read_head(folder: Path) -> dict[str, Any]:
    """Return `bundle.json`; raises `InputError` naming the field that is wrong."""
    head = read_json(folder / HEAD)
    if not isinstance(head, dict) or set(head) != set(HEAD_FIELDS):
        raise InputError(f"{HEAD}: it holds exactly {', '.join(HEAD_FIELDS)}")
    for name, kind in HEAD_FIELDS.items():
        if type(head[name]) is not kind:
            raise InputError(f"{HEAD}, {name}: {str(head[name])[:80]!r} is no {kind.__name__}")
    if not SAFE_NAME.fullmatch(head["suite"]):
        raise InputError(f"{HEAD}, suite: {head['suite'][:80]!r} is no name for a file")
    if head["format"] != FORMAT:
        raise InputError(
            f"{HEAD}, format: {head['format']}, but this version reads format {FORMAT}"
        )
    return head


def read_rows(folder: Path, head: dict[str, Any]) -> pd.DataFrame:
    """Return the rows, normalised; raises `InputError` for anything that is not as it should be.

    Column names and types are read from the file's head before any value is; texts are measured
    before they are written out, for a small file may hold a short list of long texts many times.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / ROWS
    try:
        with pq.ParquetFile(path) as file:
            count = file.metadata.num_rows
            if count > MAX_ROWS:
                raise InputError(f"{ROWS}: {count:,} rows, more than {MAX_ROWS:,}")
            _check_sizes(file.metadata)
            _check_schema(file.schema_arrow)
        texts = [name for name in COLUMNS if _kind(name) is str]
        table = pq.read_table(path, read_dictionary=texts, partitioning=None)
        for name in texts:
            _check_texts(name, table[name])
        frame = table.to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{ROWS}: cannot be read as Parquet: {str(error)[:200]}") from error
    try:
        rows = normalise(frame.astype(dict.fromkeys(texts, object)))
    except (InputError, ValueError, RecursionError) as error:
        raise InputError(f"{ROWS}: {str(error)[:300]}") from error
    if len(rows) != head["rows"]:
        raise InputError(f"{ROWS}: {len(rows):,} rows, but {HEAD} says {head['rows']:,}")
    if odd := sorted(set(rows.suite) - {head["suite"]}):
        raise InputError(f"{ROWS}: rows of suite {odd[0]!r}, but {HEAD} says {head['suite']!r}")
    if rows.empty:
        raise InputError(f"{ROWS}: there are no rows")
    for name in ("set_hash", "run_key"):  # the first becomes a path
        if odd := sorted({key for key in set(rows[name]) if not KEY.fullmatch(key)}):
            raise InputError(f"{ROWS}: column {name} holds {odd[0][:80]!r}, which is no key")
    return rows


def check_completeness(
    rows: pd.DataFrame, least: Callable[[tuple[str, ...]], tuple[int, int]]
) -> list[str]:
    """Return what lacks in cells: runs of the plan, or a plan as large as the protocol's.

    `least` says how many sets and seeds a cell must have, given suite, task, method, params, dpc
    and learner. A set of all training rows is one set, and a method that is run once may spend
    the same number of runs on one set.
    """
    problems = []
    for values, cell in rows.groupby(CELL, sort=False):
        label = " / ".join((values[1], values[2], f"DPC {values[4]}", values[5]))
        sets, seeds = int(cell.planned_sets.iloc[0]), int(cell.planned_seeds.iloc[0])
        if cell[["planned_sets", "planned_seeds"]].drop_duplicates().shape[0] > 1:
            problems.append(f"{label}: its rows disagree about the planned sets and seeds")
            continue
        ok = cell[cell.status == Status.OK]
        inside = ok["set_index"].between(0, sets - 1) & ok["seed_index"].between(0, seeds - 1)
        if len(ok) != len(cell):
            problems.append(f"{label}: {len(cell) - len(ok)} rows are not ok")
        elif inside.sum() != sets * seeds or len(cell) != sets * seeds:
            problems.append(
                f"{label}: {int(inside.sum())} of the {sets} × {seeds} planned runs, "
                f"{int((~inside).sum())} others"
            )
        wanted_sets, wanted_seeds = least(values)
        enough = sets >= wanted_sets and seeds >= wanted_seeds
        at_once = sets == 1 and seeds >= wanted_sets * wanted_seeds
        whole = values[4] == "0" and seeds >= wanted_seeds
        if not (enough or at_once or whole):
            problems.append(
                f"{label}: planned with {sets} × {seeds} runs, the protocol wants "
                f"{wanted_sets} × {wanted_seeds}"
            )
    return problems


def check_environments(folder: Path, rows: pd.DataFrame) -> list[str]:
    """Return whether `environments.json` is the list of the rows' environments."""
    expected = [json.loads(text) for text in sorted(set(rows.environment)) if text]
    if read_json(folder / ENVIRONMENTS) != expected:
        return [f"{ENVIRONMENTS}: not the environments that the rows name"]
    if (rows.environment == "").any():
        return [f"{ROWS}: rows without an environment"]
    return []


def read_json(path: Path) -> Any:
    """Parse a JSON file of modest depth; raises `InputError`."""
    text = path.read_bytes().decode("utf-8", "replace")
    depth = deepest = 0
    for mark in text:
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    try:
        if deepest > NESTED:
            raise ValueError("nested too deeply")
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{path.name}: not JSON: {error}") from error


def _check_sizes(head: Any) -> None:
    """Bound what the file unpacks to before any of it is unpacked."""
    columns = (
        head.row_group(group).column(place)
        for group in range(head.num_row_groups)
        for place in range(head.num_columns)
    )
    total = sum(column.total_uncompressed_size for column in columns)
    limit = BYTES_OF_A_FILE + BYTES_A_ROW * head.num_rows
    if total > limit:
        raise InputError(
            f"{ROWS}: unpacks to {total:,} bytes, more than {head.num_rows:,} rows can have"
        )


def _check_schema(schema: Any) -> None:
    import pyarrow.types as types

    if list(schema.names) != COLUMNS:
        odd = sorted(set(schema.names) ^ set(COLUMNS))
        what = f": {', '.join(odd)[:200]}" if odd else " in another order"
        raise InputError(f"{ROWS}: its columns are not those of a leaderboard{what}")
    tests = {
        int: types.is_integer,
        float: types.is_floating,
        bool: types.is_boolean,
        str: lambda kind: types.is_string(kind) or types.is_large_string(kind),
    }
    for name in COLUMNS:
        kind = schema.field(name).type
        if types.is_dictionary(kind):
            kind = kind.value_type
        if not tests[_kind(name)](kind):
            raise InputError(f"{ROWS}: column {name} holds {kind}, not {_kind(name).__name__}")


def _check_texts(name: str, column: Any) -> None:
    import pyarrow.compute as pc

    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary).to_numpy(zero_copy_only=False)
        if len(lengths) and np.nanmax(lengths) > MAX_VALUE:
            raise InputError(
                f"{ROWS}: column {name} holds a text of more than {MAX_VALUE // 2**10} KB"
            )
        indices = chunk.indices.drop_null().to_numpy(zero_copy_only=False)
        total += int(np.bincount(indices, minlength=len(lengths)) @ lengths) if len(lengths) else 0
    if total > MAX_TEXT:
        raise InputError(f"{ROWS}: column {name} holds more than {MAX_TEXT // 2**30} GB of text")


def _kind(name: str) -> type:
    if name in INTEGERS:
        return int
    if name in FLOATS:
        return float
    return bool if name == "structural" else str
