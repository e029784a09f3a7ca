"""Validating a bundle: nothing of it is executed or unpickled, all that can be is computed again.

Predictions of learners that are trained once per set are held to those that training again gives.
Those of other learners are the submitter's word: a run key binds set, learner and seed, not what
came of them. So are seconds, memory, devices and more, all listed in `docs/publish.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from benchmark.bundles.layout import STATISTICS, check_files, few
from benchmark.bundles.row_checks import check_rows
from benchmark.bundles.run_checks import Contamination
from benchmark.bundles.tables import check_completeness, check_environments, read_head, read_rows
from benchmark.bundles.task_checks import TaskChecks
from benchmark.core.catalogue import Suite
from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.learner import expand_panels
from benchmark.core.library import Library
from benchmark.core.records import CellId
from benchmark.predictions import file_name
from leaderboards import build_leaderboard, render
from leaderboards.rows import CELL


@dataclass
class Report:
    """What came of a validation.

    A bundle without problems is valid, and proved so if no task is `unchecked`: one whose data
    cannot be had here. `rows` are those to merge: what pages say of a cell is made anew in them.
    `proven` cells have predictions that training again gave, `unproven` counts those of each
    learner that is not trained again.
    """

    suite: str = ""
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    n_cells: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    contaminated: list[Contamination] = field(default_factory=list)
    unchecked: dict[str, str] = field(default_factory=dict)
    proven: int = 0
    unproven: dict[str, int] = field(default_factory=dict)

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
    """
    result = Report()
    result.problems = few(check_files(folder), "files")
    if result.problems:
        return result
    try:
        head = read_head(folder)
        rows = read_rows(folder, head)
        result.problems += check_environments(folder, rows)
        result.problems += few(check_rows(rows), "in the rows")
    except InputError as error:
        result.problems.append(str(error))
        return result
    result.suite, result.rows = head["suite"], rows
    result.n_cells = len(rows.drop_duplicates(CELL))
    result.problems += few(check_completeness(rows, least_of(library, head["suite"])), "cells")
    result.problems += few(_surplus(folder, rows), "files")
    if not result.problems:
        result.problems += _statistics(folder, rows)
    checked = []
    for name in sorted(set(rows.task)):
        of_task = rows[rows.task == name]
        if name not in library.catalogue.tasks:
            result.problems.append(f"task {name!r} is in no catalogue here; give it with --tasks")
            continue
        try:
            data = library.task(name)
        except UnavailableError as error:
            result.unchecked[name] = str(error)
            continue
        report(f"computing {name} again")
        checks = TaskChecks(folder, of_task, data, library)
        checks.run()
        checked.append(checks.rows)
        _add(result, checks)
    result.rows = pd.concat(checked) if checked else rows
    return result


def _add(result: Report, checks: TaskChecks) -> None:
    found, runs = checks.findings, checks.runs
    result.problems += few(found.problems, f"of task {found.task}")
    result.notes += [note for note in found.notes if note not in result.notes]
    result.contaminated += runs.contaminated
    result.proven += runs.proven
    for learner, cells in runs.unproven.items():
        result.unproven[learner] = result.unproven.get(learner, 0) + cells


def _statistics(folder: Path, rows: pd.DataFrame) -> list[str]:
    """Return whether `statistics.csv` is what the rows give, and whether they make a page."""
    try:
        board = build_leaderboard(rows)
        again = render(board, "csv").encode()
        render(board, "md")
    except InputError as error:
        return [f"the rows make no leaderboard: {error}"]
    except Exception as error:  # whatever a page cannot show must not reach one
        return [f"the rows make no page: {type(error).__name__}: {error}"]
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


def least_of(library: Library, suite_name: str) -> Callable[[tuple[str, ...]], tuple[int, int]]:
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
