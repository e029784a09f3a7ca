"""The index of all published suites: what each one is, and where the methods stand in it.

It is made from the published CSV files and the dates of the rows alone, so that it costs nothing
to write anew when one suite of many changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from leaderboards.averages import count_of, lacking, places_text, shared_tasks
from leaderboards.labels import differences
from leaderboards.reference import DEFAULT_REFERENCE
from leaderboards.rounding import NOTHING, brief
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
                    "be better, and the number of methods less those shown to be worse. A method "
                    "that can't be tested (one set, or runs missing) has no place, but leaves one "
                    "more open to each other; one that lacks any of the tasks counts for nothing.",
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
    budgeted = cells[(cells.dpc != "0") & cells["mean"].notna()]
    if budgeted["rank"].isna().all():
        return None
    tables = {}
    for learner in dict.fromkeys(budgeted.learner[budgeted["rank"].notna()]):
        mine = budgeted[budgeted.learner == learner]
        largest = max(set(mine.dpc[mine["rank"].notna()]), key=dpc_number)
        title, places = _column(mine[mine.dpc == largest], cells.task.nunique())
        tables[f"{learner}\nDPC {largest}{title}"] = places
    labels = _labels(budgeted)
    shown = [row for row in labels if any(row in places for places in tables.values())]
    rows = [
        (Entry(labels[row]), *(places.get(row, Entry("")) for places in tables.values()))
        for row in shown
    ]
    return Table("", ("method", *tables), tuple(rows))


def _column(cells: pd.DataFrame, n_tasks: int) -> tuple[str, dict[tuple[str, str], Entry]]:
    """Return what the heading of a learner at a DPC adds, and an entry for each method there.

    As on the suite's page: over the tasks of the reference, and of methods that have all of them.
    """
    having: dict[tuple[str, str], set[str]] = {}
    for method, params, task in zip(cells.method, cells.params, cells.task, strict=True):
        having.setdefault((method, params), set()).add(task)
    variants = [row for row in having if row[0] == DEFAULT_REFERENCE]
    reference = min(variants, key=lambda row: (-len(having[row]), row), default=None)
    tasks = shared_tasks(dict.fromkeys(cells.task), having, reference)
    places = {}
    for row, has in having.items():
        mine = cells[(cells.method == row[0]) & (cells.params == row[1])]
        complete = has >= set(tasks)
        places[row] = _place(mine[mine.task.isin(tasks)]) if complete else lacking(len(has))
    part = f" ({len(tasks)} of {count_of(n_tasks)})" if len(tasks) < n_tasks else ""
    return part, places


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
    if cells["rank"].isna().any():
        return Entry(NOTHING)
    low, high = cells.rank_low, cells.rank_high
    if "column_rank_low" in cells:  # ranks among the methods that have all tasks
        low, high = cells.column_rank_low.fillna(low), cells.column_rank_high.fillna(high)
    return Entry(places_text(low.mean(), high.mean()), value=float(low.mean()))


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}" if 0 <= seconds < 2.5e11 else ""
