"""Making a bundle from a store: the complete cells of a suite, with their sets and predictions."""

from __future__ import annotations

import json
import shutil
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.bundles.arrays import save_predictions
from benchmark.bundles.layout import ENVIRONMENTS, FORMAT, HEAD, ROWS, STATISTICS, write_sums
from benchmark.core.errors import InputError
from benchmark.core.records import CellId, Status
from benchmark.frame import rows_frame
from benchmark.predictions import Predictions, file_name
from benchmark.store import Store
from leaderboards import build_leaderboard, render
from leaderboards.publish import without_paths
from leaderboards.rows import CELL, normalise, within_plan


def write_bundle(store: Store, suite: str, out: Path) -> tuple[int, list[str]]:
    """Write the complete cells of a suite; returns their number, and the labels of those left out.

    The directory is there whole, or not at all.

    Raises:
        InputError: the suite has no complete cell, or the directory exists and is not empty.
        DamagedFileError: predictions or a set of the store cannot be read.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: exists already; give a new directory")
    frame = rows_frame(store, suite)
    if frame.empty:
        raise InputError(f"suite {suite!r} has no rows in {store.root}")
    rows = within_plan(normalise(frame))
    done = _complete(rows)
    left_out = rows[~done].drop_duplicates(CELL)
    labels = [CellId(*line).label for line in left_out[CELL].itertuples(index=False)]
    rows = rows[done].reset_index(drop=True)
    if rows.empty:
        raise InputError(f"suite {suite!r} has no complete cell, so there is nothing to submit")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    temporary.mkdir()
    try:
        _write_tables(without_paths(rows), temporary)
        _write_sets(store, rows, temporary / "sets")
        n_cells = _write_predictions(store, rows, temporary / "predictions")
        write_sums(temporary)
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return n_cells, labels


def _complete(rows: pd.DataFrame) -> np.ndarray:
    """Tell for each row whether every planned run of its cell is ok."""
    cells = rows.groupby(CELL, sort=False).ngroup().to_numpy()
    ok = np.bincount(cells, (rows.status == Status.OK).to_numpy())[cells]
    return ok == (rows.planned_sets * rows.planned_seeds).to_numpy()


def _write_tables(rows: pd.DataFrame, folder: Path) -> None:
    rows.to_parquet(folder / ROWS, engine="pyarrow", compression="zstd", index=False)
    board = build_leaderboard(rows)
    (folder / STATISTICS).write_bytes(render(board, "csv").encode())
    environments = [json.loads(text) for text in sorted(set(rows.environment)) if text]
    (folder / ENVIRONMENTS).write_text(json.dumps(environments, indent=1, sort_keys=True) + "\n")
    try:
        made_by = version("text-distillation-benchmark")
    except PackageNotFoundError:  # run from a checkout that was never installed
        made_by = "unknown"
    head = {"format": FORMAT, "suite": board.suite, "rows": len(rows), "benchmark": made_by}
    (folder / HEAD).write_text(json.dumps(head, indent=1, sort_keys=True) + "\n")


def _write_sets(store: Store, rows: pd.DataFrame, folder: Path) -> None:
    records = store.sets()
    folder.mkdir()
    for line in rows[rows.dpc != "0"].drop_duplicates("set_hash").itertuples(index=False):
        store.load_set(records[line.set_key]).save(folder / line.set_hash)


def _write_predictions(store: Store, rows: pd.DataFrame, folder: Path) -> int:
    predictions = Predictions(store)
    folder.mkdir()
    groups = rows.groupby(CELL, sort=False)["run_key"]
    for values, keys in groups:
        cell = CellId(*values)
        found = predictions.load(cell)
        save_predictions({key: found[key] for key in set(keys)}, folder / file_name(cell))
    return len(groups)
