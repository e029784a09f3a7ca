"""Published results: a Parquet file of rows, and the pages that follow from it alone."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.core.errors import InputError
from benchmark.core.keys import canonical_json
from benchmark.core.records import Status
from leaderboards.drawing import SUFFIXES, difference, draw
from leaderboards.figures import Figure
from leaderboards.files import figure_files
from leaderboards.formats import to_csv
from leaderboards.index import index_page
from leaderboards.markdown import page_text
from leaderboards.model import board_of
from leaderboards.page import make_page
from leaderboards.rows import CELL, COLUMNS, IDENTITY, PLAN, normalise, parse

INDEX = "README.md"
"""What a repository shows of a directory."""

DIFF_LINES = 60
"""Lines of a diff that are shown."""

PATH = re.compile(
    r"file:/+[^\s'\"]+"
    r"|(?<![\w.~/-])~?(?:/[\w.@+~-]+){2,}/?"
    r"|(?<![\w.~/-])~/[\w.@+~-]+"
    r"|\b[A-Za-z]:(?:[/\\]+[\w.@+~-]+)+"
)
"""An absolute path, such as a reason may quote: POSIX, below a home, Windows, a file URL."""

SAFE_NAME = re.compile(r"(?!readme$)[a-z0-9][a-z0-9._-]{0,63}")
"""A suite's name is that of its files, beside which the index lies."""


def merge(results: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Merge rows into a Parquet file of results and return what it now holds.

    A row replaces the one of the same identity; the plan and the `info` of a cell are then the new
    ones on all its rows. A cell has either runs or a placeholder: runs replace a placeholder, and
    a placeholder replaces runs unless one of them is ok (that a model is not to be had on the next
    machine takes nothing back). Merging the same rows again changes nothing.

    Only the listed columns are kept, and absolute paths in texts are cut out.
    """
    rows = merged(read_results(results) if results.exists() else None, frame)
    write_results(rows, results)
    return rows


def merged(old: pd.DataFrame | None, frame: pd.DataFrame) -> pd.DataFrame:
    """Return what results hold once rows are merged into them; raises `InputError`."""
    new = _without_idle_placeholders(without_paths(normalise(frame)))
    rows = normalise(new if old is None or old.empty else _combine(old, new))
    if len(suites := sorted(rows.suite.unique())) > 1:
        raise InputError(f"a file of results holds one suite, not {' and '.join(suites)}")
    return rows


def write_results(rows: pd.DataFrame, results: Path) -> None:
    """Write normalised rows to a Parquet file of results, whole or not at all."""
    results.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=results.parent, prefix=".publish-") as folder:
        temporary = Path(folder) / results.name
        rows.to_parquet(temporary, engine="pyarrow", compression="zstd", index=False)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, results)


def read_results(results: Path) -> pd.DataFrame:
    """Read a Parquet file of results."""
    if not results.exists():
        raise InputError(f"there are no published results at {results}")
    try:
        frame = pd.read_parquet(results, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise InputError(f"{results} cannot be read as Parquet: {error}") from error
    return normalise(frame)


def render_published(results: Path, published: Path) -> list[Path]:
    """Write `<suite>.md`, `<suite>.csv` and the figures from the results alone; return the paths.

    Figures that the page no longer has are taken away. The index, `README.md`, is written anew
    from the CSV files of all suites.
    """
    pages, figures = _pages(results)
    files = {name: text.encode() for name, text in pages.items()}
    for figure in figures:
        files |= {f"{figure.name}{suffix}": body for suffix, body in draw(figure).items()}
    published.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        _write(published / name, body)
    for stale in figure_files(published, results.stem) - set(files):
        (published / stale).unlink()
    _write(published / INDEX, page_text(index_page(results.parent, published)).encode())
    return [published / name for name in (*files, INDEX)]


def _write(path: Path, body: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".publish-") as folder:
        temporary = Path(folder) / path.name
        temporary.write_bytes(body)
        os.replace(temporary, path)


def check_published(results: Path, published: Path) -> str:
    """Return how the published pages differ from what the results say, "" if they do not."""
    pages, figures = _pages(results)
    lines = [line for name, text in pages.items() for line in _diff(published / name, text)]
    for figure in figures:
        files = {suffix: published / f"{figure.name}{suffix}" for suffix in SUFFIXES}
        found = {suffix: path.read_bytes() for suffix, path in files.items() if path.exists()}
        lines += filter(None, [difference(figure, found)])
    known = {f"{figure.name}{suffix}" for figure in figures for suffix in SUFFIXES}
    stale = figure_files(published, results.stem) - known
    lines += [f"{name} is on no page" for name in sorted(stale)]
    lines += _diff(published / INDEX, page_text(index_page(results.parent, published)))
    if len(lines) > DIFF_LINES:
        lines = [*lines[:DIFF_LINES], f"... {len(lines) - DIFF_LINES} more lines"]
    return "\n".join(lines)


def _diff(page: Path, text: str) -> list[str]:
    """Return the lines in which a file is other than the rows have it."""
    found = page.read_bytes().decode("utf-8", "replace") if page.exists() else ""
    if found == text:
        return []
    there = page.name if page.exists() else f"{page.name} (missing)"
    return list(
        difflib.unified_diff(
            found.split("\n"), text.split("\n"), there, f"{page.name} (from the rows)", n=1,
            lineterm="",
        )
    )  # fmt: skip


def _pages(results: Path) -> tuple[dict[str, str], tuple[Figure, ...]]:
    board = board_of(read_results(results))
    if not SAFE_NAME.fullmatch(board.suite):
        raise InputError(f"suite {board.suite!r} is no name for a file")
    page = make_page(board)
    text = page_text(page, figures=True)
    return {f"{board.suite}.md": text, f"{board.suite}.csv": to_csv(board)}, page.figures


def _combine(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    cells = pd.concat([old, new]).groupby(CELL, sort=False).ngroup().to_numpy()
    old_cells, new_cells = cells[: len(old)], cells[len(old) :]
    done = np.unique(old_cells[(old.status == Status.OK).to_numpy()])
    runs_come = np.unique(new_cells[(new["set_index"] >= 0).to_numpy()])
    only_placeholder = np.setdiff1d(new_cells, runs_come)

    new_stays = ~(np.isin(new_cells, only_placeholder) & np.isin(new_cells, done))
    new, new_cells = new[new_stays], new_cells[new_stays]
    replaced = np.where(
        old["set_index"] < 0,
        np.isin(old_cells, runs_come),
        np.isin(old_cells, np.setdiff1d(only_placeholder, done)),
    )
    old, old_cells = old[~replaced], old_cells[~replaced]

    plan = new.groupby(new_cells)[PLAN].first()
    known = np.isin(old_cells, plan.index)
    plan = plan.reindex(old_cells)
    old = old.assign(**{name: np.where(known, plan[name], old[name]) for name in PLAN})
    return pd.concat([old, new])[COLUMNS].drop_duplicates(IDENTITY, keep="last")


def _without_idle_placeholders(rows: pd.DataFrame) -> pd.DataFrame:
    """Drop the placeholders of cells that have runs."""
    cells = rows.groupby(CELL, sort=False).ngroup().to_numpy()
    runs = (rows["set_index"] >= 0).to_numpy()
    return rows[runs | ~np.isin(cells, cells[runs])]


def without_paths(rows: pd.DataFrame) -> pd.DataFrame:
    """Return normalised rows without absolute paths in their texts: no page names a machine."""
    clean = {}
    for name in ("reason", "device", "environment", "info"):
        cleaned = _clean if name in ("reason", "device") else _clean_json
        clean[name] = rows[name].map({text: cleaned(text) for text in rows[name].unique()})
    return rows.assign(**clean)


def _clean_json(text: str) -> str:
    value = parse(text)
    cleaned = _clean(value)
    return text if cleaned == value else canonical_json(cleaned)


def _clean(value: Any) -> Any:
    """Return a text, or all texts inside a JSON value, without absolute paths."""
    if isinstance(value, str):
        return PATH.sub("(path)", value)
    if isinstance(value, Mapping):
        return {_clean(name): _clean(inner) for name, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list) else value
