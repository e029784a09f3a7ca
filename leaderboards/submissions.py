"""Merging rows of a bundle: marked as submitted, and never over the results of others unasked."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.core.errors import InputError
from benchmark.core.keys import canonical_json
from benchmark.core.records import Status
from leaderboards.files import figure_files
from leaderboards.publish import (
    merged,
    read_results,
    render_published,
    without_paths,
    write_results,
)
from leaderboards.rows import CELL, IDENTITY, METRICS, normalise, parse

RESULT = ["set_hash", "run_key", "metric", "score", *METRICS]
"""What a run came to. What it took (seconds, memory) may differ: the first submitter's stays."""

PLANNED = ["planned_sets", "planned_seeds"]
SUBMISSIONS = "submissions"
SHOWN = 3


@dataclass(frozen=True)
class Merged:
    """How many rows a merge added and replaced, how many were there already; what was written."""

    added: int
    replaced: int
    unchanged: int
    paths: tuple[Path, ...] = ()


def place_submission(
    boards: Path, suite: str, rows: pd.DataFrame, bundle: Path, name: str, *, replace: bool = False
) -> Merged:
    """Merge a bundle into `results/`, render `published/`, keep it as `submissions/<name>`.

    All is made in a copy first, so that rows which no page can show change nothing. The last of the
    paths is the bundle's.

    Raises:
        InputError: the rows cannot be merged, or make no page with those that are there.
    """
    with tempfile.TemporaryDirectory(dir=boards, prefix=".submit-") as folder:
        trial = Path(folder)
        for part in ("results", "published"):
            if (boards / part).is_dir():
                shutil.copytree(boards / part, trial / part)
        results = trial / "results" / f"{suite}.parquet"
        counts = merge_submission(results, rows, replace=replace)
        before = figure_files(trial / "published", suite)
        try:
            written = render_published(results, trial / "published")
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise InputError(
                f"the merged rows make no page ({why}); nothing was changed"
            ) from error
        shutil.copytree(bundle, trial / "bundle")

        paths = [results, *written]
        (boards / "published").mkdir(exist_ok=True)
        for path in paths:
            os.replace(path, boards / path.relative_to(trial))
        for stale in before - {path.name for path in written}:
            (boards / "published" / stale).unlink()
        kept = boards / SUBMISSIONS / name
        kept.parent.mkdir(exist_ok=True)
        if not kept.exists():
            os.replace(trial / "bundle", kept)
        targets = [boards / path.relative_to(trial) for path in paths]
    return dataclasses.replace(counts, paths=(*targets, kept))


def merge_submission(results: Path, frame: pd.DataFrame, *, replace: bool = False) -> Merged:
    """Merge the rows of a validated bundle into a Parquet file of results.

    A cell that has ok rows keeps them: a bundle may hold them too, or runs that they lack. With
    `replace` the rows of a cell that differs give way, all of them.

    Raises:
        InputError: a cell is there with other results or another plan, and `replace` is not given.
    """
    new = normalise(without_paths(frame))
    old = read_results(results) if results.exists() else new.iloc[:0]
    ok = old[old.status == Status.OK]
    pairs = new.merge(ok, on=IDENTITY, suffixes=("", "_old"), how="left", indicator=True)
    there = (pairs["_merge"] == "both").to_numpy()
    same = there & _equal(pairs)

    cells = pd.concat([new, ok]).groupby(CELL, sort=False).ngroup().to_numpy()
    new_cells, ok_cells = cells[: len(new)], cells[len(new) :]
    differing = np.unique(new_cells[there & ~same])
    differing = np.union1d(differing, _with_other_plan(new, ok, new_cells, ok_cells))
    clash = np.isin(new_cells, differing)
    if len(differing) and not replace:
        raise InputError(_say(new, pairs, clash, there & ~same, results))
    if len(differing):
        clashing = new[clash].drop_duplicates(CELL)[CELL]
        kept = old.merge(clashing, on=CELL, how="left", indicator="in")["in"] == "left_only"
        old = old[kept.to_numpy()]
    coming = new[~same | clash]
    if len(coming):
        marked = {text: _as_submitted(text) for text in coming["info"].unique()}
        rows = merged(old, coming.assign(info=coming["info"].map(marked)))
        write_results(rows, results)
    replaced = int((there & clash).sum())
    return Merged(len(coming) - replaced, replaced, len(new) - len(coming))


def _equal(pairs: pd.DataFrame) -> np.ndarray:
    """Tell for each row whether it came to the same as the old one beside it."""
    same = np.ones(len(pairs), dtype=bool)
    for name in RESULT:
        mine, other = pairs[name].to_numpy(), pairs[f"{name}_old"].to_numpy()
        if mine.dtype == np.float64:
            same &= np.isclose(mine, other, rtol=0, atol=1e-9, equal_nan=True)
        else:
            same &= mine == other
    return same


def _with_other_plan(
    new: pd.DataFrame, ok: pd.DataFrame, new_cells: np.ndarray, ok_cells: np.ndarray
) -> np.ndarray:
    """Return the cells that have ok rows under another plan, which would hide or add runs."""
    before = ok[PLANNED].groupby(ok_cells).first()
    after = new[PLANNED].groupby(new_cells).first()
    both = before.index.intersection(after.index)
    return both[(before.loc[both] != after.loc[both]).any(axis=1).to_numpy()].to_numpy()


def _say(
    new: pd.DataFrame,
    pairs: pd.DataFrame,
    clash: np.ndarray,
    changed: np.ndarray,
    results: Path,
) -> str:
    cells = new[clash].drop_duplicates(CELL)
    labels = [f"{c.task} / {c.method} / DPC {c.dpc} / {c.learner}" for c in cells.itertuples()]
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    said = ""
    if changed.any():
        row = pairs[changed].iloc[0]
        said = f"; {int(changed.sum())} rows have another result, the first a score of "
        said += f"{row['score']:.6g} where {row['score_old']:.6g} stands"
    return (
        f"{results.name} has other results or another plan for {', '.join(labels[:SHOWN])}{more}"
        f"{said}. Nothing was changed; --replace puts the bundle's cells in their place"
    )


def _as_submitted(text: str) -> str:
    return canonical_json({**parse(text), "submitted": True})
