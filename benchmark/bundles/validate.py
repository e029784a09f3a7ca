"""Validating a bundle: nothing of it is executed or unpickled, all that can be is computed again.

What can't be: seconds, memory and devices are the submitter's word, and predictions are only held
to be those of the sets by the run key that binds both. Whoever doubts them can train again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from benchmark.bundles.layout import STATISTICS, check_files, few
from benchmark.bundles.tables import check_completeness, check_environments, read_head, read_rows
from benchmark.bundles.task_checks import Contamination, TaskChecks
from benchmark.core.catalogue import Suite
from benchmark.core.errors import InputError
from benchmark.core.learner import expand_panels
from benchmark.core.library import Library
from benchmark.core.records import CellId
from benchmark.predictions import file_name
from leaderboards import build_leaderboard, render
from leaderboards.rows import CELL

STANDARD = "standard"


@dataclass
class Report:
    """What came of a validation: a bundle without problems is valid."""

    suite: str = ""
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    n_cells: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    contaminated: list[Contamination] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def validate(
    folder: Path, library: Library, report: Callable[[str], None] = lambda words: None
) -> Report:
    """Check a bundle; what is found wrong stands in the result.

    Files that are not what their checksums say are not read. `report` is told of each task.

    Raises:
        InputError: the directory is no bundle at all.
        UnavailableError: a task's data, without which nothing can be computed again.
    """
    result = Report()
    result.problems = few(check_files(folder), "files")
    if result.problems:
        return result
    try:
        head = read_head(folder)
        rows = read_rows(folder, head)
        result.problems += check_environments(folder, rows)
    except InputError as error:
        result.problems.append(str(error))
        return result
    result.suite, result.rows = head["suite"], rows
    result.n_cells = len(rows.drop_duplicates(CELL))
    result.problems += few(check_completeness(rows, _least(library, head["suite"])), "cells")
    result.problems += few(_surplus(folder, rows), "files")
    if not result.problems:
        result.problems += _statistics(folder, rows)
    seed = _protocol_seed(library, head["suite"])
    for name in sorted(set(rows.task)):
        if name not in library.catalogue.tasks:
            result.problems.append(f"task {name!r} is in no catalogue here; give it with --tasks")
            continue
        report(f"computing {name} again")
        checks = TaskChecks(folder, rows[rows.task == name], library.task(name), library)
        checks.run(seed)
        result.problems += few(checks.problems, f"of task {name}")
        result.notes += [note for note in checks.notes if note not in result.notes]
        result.contaminated += checks.contaminated
    return result


def _statistics(folder: Path, rows: pd.DataFrame) -> list[str]:
    """Return whether `statistics.csv` is what the rows give."""
    try:
        again = render(build_leaderboard(rows), "csv").encode()
    except InputError as error:
        return [f"the rows make no leaderboard: {error}"]
    said = (folder / STATISTICS).read_bytes()
    if said == again:
        return []
    pairs = zip(said.split(b"\n"), again.split(b"\n"), strict=False)
    line = next((n for n, (a, b) in enumerate(pairs, start=1) if a != b), "last")
    return [f"{STATISTICS}, line {line}: not what the rows give"]


def _surplus(folder: Path, rows: pd.DataFrame) -> list[str]:
    """Return sets and predictions that no row refers to."""
    cells = rows.drop_duplicates(CELL)[CELL].itertuples(index=False)
    known = {f"predictions/{file_name(CellId(*values))}" for values in cells}
    known |= {f"sets/{key}" for key in set(rows.set_hash[rows.dpc != "0"])}
    there = [*(folder / "predictions").glob("*"), *(folder / "sets").glob("*")]
    return [
        f"{name}: no row refers to it"
        for name in sorted(path.relative_to(folder).as_posix() for path in there)
        if name not in known
    ]


def _least(library: Library, suite_name: str) -> Callable[[tuple[str, ...]], tuple[int, int]]:
    """Return what a cell must hold: what its suite says of it, else the suite's protocol."""
    suite = library.catalogue.suites.get(suite_name) or Suite(suite_name, ())
    protocol = library.catalogue.protocol(suite.protocol)
    blocks = [
        (set(block.methods), set(expand_panels(block.learners)), set(map(str, block.dpc)), block)
        for block in suite.cells
    ]

    def least(values: tuple[str, ...]) -> tuple[int, int]:
        _, _, method, _, dpc, learner = values
        for methods, learners, dpcs, block in blocks:
            if method in methods and learner in learners and dpc in dpcs:
                return block.sets, block.seeds
        return protocol.sets, protocol.seeds

    return least


def _protocol_seed(library: Library, suite_name: str) -> int:
    suite = library.catalogue.suites.get(suite_name)
    return library.catalogue.protocol(suite.protocol if suite else STANDARD).seed
