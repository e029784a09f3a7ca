"""The index of all published suites: what each one is, and where the methods stand in it.

It is made from the published CSV files and the dates of the rows alone, so that it costs nothing
to write anew when one suite of many changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from leaderboards.labels import differences
from leaderboards.rounding import brief, decimals
from leaderboards.rows import dpc_number
from leaderboards.table import Entry, Page, Section, Table, entries

TEXTS = {"dpc": str, "params": str, "task": str, "method": str, "learner": str}


def index_page(results: Path, published: Path) -> Page:
    """Return the index of the suites that have rows in one directory and a CSV in the other."""
    suites = dict(_suites(results, published))
    lines, sections = [], []
    for name, (cells, created) in suites.items():
        lines.append(
            (
                Entry(name, link=f"{name}.md"),
                *entries(*(brief(cells[kind].nunique()) for kind in ("task", "method", "learner"))),
                *entries(brief(int(cells.n_runs.sum())), _date(created.max())),
            )
        )
        if table := _places(cells):
            sections.append(Section(name, tables=(table,)))
    head = ("suite", "tasks", "methods", "learners", "runs", "newest run")
    return Page(
        "Leaderboards",
        (
            Section(
                "",
                (
                    "One page per suite, computed from the rows in leaderboards/results; python -m "
                    "benchmark leaderboard --suite NAME --check compares the two. Below, for each "
                    "suite and learner, the best and the worst place that a method may have at the "
                    "largest budget, averaged over the tasks: 1 + the number of methods shown to "
                    "be better, and the number of methods less those shown to be worse.",
                ),
                tables=(Table("", head, tuple(lines)),),
            ),
            *sections,
        ),
    )


def _suites(results: Path, published: Path) -> Iterator[tuple[str, tuple[pd.DataFrame, pd.Series]]]:
    for path in sorted(published.glob("*.csv")):
        rows = results / f"{path.stem}.parquet"
        if rows.is_file():
            try:
                cells = pd.read_csv(path, dtype=TEXTS, keep_default_na=False, na_values=[""])
                created = pd.read_parquet(rows, columns=["created"])["created"]
            except (OSError, ValueError):  # a damaged file is told by the check of its own suite
                continue
            yield path.stem, (cells, created)


def _places(cells: pd.DataFrame) -> Table | None:
    """Return method x learner: the mean of the places at the largest DPC that has ranks."""
    ranked = cells[cells["rank"].notna()]
    if ranked.empty:
        return None
    labels = _labels(ranked)
    learners = list(dict.fromkeys(ranked.learner))
    largest = {
        learner: max(set(ranked.dpc[ranked.learner == learner]), key=dpc_number)
        for learner in learners
    }
    rows = []
    for (method, params), label in labels.items():
        mine = ranked[(ranked.method == method) & (ranked.params == params)]
        rows.append(
            (
                Entry(label),
                *(
                    _place(mine[(mine.learner == learner) & (mine.dpc == largest[learner])])
                    for learner in learners
                ),
            )
        )
    head = ("method", *(f"{learner}\nDPC {largest[learner]}" for learner in learners))
    return Table("", head, tuple(rows))


def _labels(cells: pd.DataFrame) -> dict[tuple[str, str], str]:
    variants: dict[str, list[str]] = {}
    for method, params in dict.fromkeys(zip(cells.method, cells.params, strict=True)):
        variants.setdefault(method, []).append(params)
    return {
        (method, params): method + text
        for method, found in variants.items()
        for params, text in zip(found, differences(found), strict=True)
    }


def _place(cells: pd.DataFrame) -> Entry:
    if cells.empty:
        return Entry("")
    low, high = cells.rank_low.mean(), cells.rank_high.mean()
    return Entry(f"{decimals(low, 1)} to {decimals(high, 1)}", value=float(low))


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}" if 0 <= seconds < 2.5e11 else ""
