"""What a bundle says of one task, computed again from the task's own data."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmark.bundles.cell_checks import CellChecks
from benchmark.bundles.findings import Findings
from benchmark.bundles.run_checks import RunChecks
from benchmark.bundles.set_checks import SetChecks
from benchmark.core.data import TaskData
from benchmark.core.errors import InputError
from benchmark.core.learner import build_learner
from benchmark.core.library import Library
from benchmark.core.records import CellId
from leaderboards.rows import CELL


class TaskChecks:
    """The checks of one task's rows, which need its data.

    `rows` are the bundle's, with what pages say of a cell made anew; `findings` and what `runs`
    counts grow while the checks run.
    """

    def __init__(self, folder: Path, rows: pd.DataFrame, data: TaskData, library: Library) -> None:
        self.rows, self.data = rows.copy(), data
        self.findings = Findings(data.task.name)
        self.sets = SetChecks(folder, self.rows, data, library, self.findings)
        self.cells = CellChecks(data, library, str(rows.suite.iloc[0]), self.findings)
        self.runs = RunChecks(folder, data, library, self.sets, self.findings)

    def run(self) -> None:
        """Make all checks: the sets, then each cell."""
        task = self.data.task
        if odd := sorted(set(self.rows.metric) - {task.metric}):
            self.findings.problem(f"metric {odd[0][:80]!r}, the task's is {task.metric!r}")
        self.sets.run()
        for values, rows in list(self.rows.groupby(CELL, sort=False)):
            cell = CellId(*values)
            try:
                learner = build_learner(cell.learner)
            except InputError as error:
                self.findings.problem(f"{cell.label}: {error}")
                continue
            claim = self.cells.claim(cell, rows, learner)
            self.rows.loc[rows.index, "info"] = self.cells.run(claim, self.sets.sets)
            self.runs.run(claim)
        if task.revision is None and not task.dataset.startswith("package:"):
            self.findings.note(f"task {task.name}: its data have no pinned revision")
