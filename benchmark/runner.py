"""The runner: carries out a plan, task by task, and writes what comes back.

For each task, first the sets that are not in the store, then the trainings whose keys are not.
Work is decided by keys, completeness by rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from benchmark.cells import Cell
from benchmark.core.errors import DamagedFileError
from benchmark.core.records import CellId, Row, SetRecord, Status
from benchmark.environment import describe_environment
from benchmark.executors import Executor
from benchmark.plan import Plan
from benchmark.store import Store
from benchmark.work import PlannedRun, SetJob, Trained, TrainJob


class Reporter(Protocol):
    """Where progress is told; the command line has a bar and a plain form."""

    def stage(self, words: str, total: int) -> None:
        """A stage of `total` steps begins."""

    def advance(self, steps: int = 1) -> None:
        """Steps of the stage are done."""

    def note(self, words: str) -> None:
        """Something worth a line."""


@dataclass
class Summary:
    """What a run came to."""

    done: int = 0
    trained: int = 0
    distilled: int = 0
    failed: dict[CellId, str] = field(default_factory=dict)
    unavailable: dict[CellId, str] = field(default_factory=dict)
    structural: int = 0
    seconds: float = 0.0

    def exit_code(self, allow_partial: bool) -> int:
        """The documented exit code: failures outrank what could not be had."""
        if self.failed:
            return 1
        return 3 if self.unavailable and not allow_partial else 0


@dataclass
class Runner:
    """Carries out a plan on an executor, into a store."""

    store: Store
    executor: Executor
    reporter: Reporter
    retry_failed: bool = False

    def run(self, plan: Plan) -> Summary:
        """Do what the plan needs and the store lacks; returns what became of every cell."""
        started = time.monotonic()
        summary = Summary()
        self._environment = self.store.put_environment(describe_environment())
        self.store.put_cells(
            [cell.record() for cell in plan.cells] + [item.plan for item in plan.skipped]
        )
        for item in plan.skipped:
            if item.plan.structural:
                summary.structural += 1
            else:
                summary.unavailable[item.plan.cell] = item.plan.reason
        self.store.commit()
        self._sets = self.store.sets()
        self._runs = self.store.run_states()
        self._rows = self.store.row_states(plan.suite.name)
        for task, cells in plan.by_task().items():
            self._distil(task, cells, summary)
            self._train(task, cells, plan, summary)
        summary.seconds = time.monotonic() - started
        return summary

    def _distil(self, task: str, cells: Sequence[Cell], summary: Summary) -> None:
        """Make the sets that are missing, damaged or (on request) failed."""
        jobs: dict[str, SetJob] = {}
        for cell in cells:
            for set_index in range(cell.n_sets):
                key = cell.set_key(set_index).digest
                if key in jobs or not self._set_is_wanted(key, cell, set_index):
                    continue
                folder = self.store.set_folder(key)
                jobs[key] = cell.set_job(set_index, self.store.root, folder)
        if not jobs:
            return
        self.reporter.stage(f"{task}: distil", len(jobs))
        for _, message in self.executor.run(list(jobs.values())):
            if isinstance(message, SetRecord):
                self._sets[message.set_key] = message
                self.store.put_set(message)
                self.store.commit()
                summary.distilled += message.status == Status.OK
                self.reporter.advance()
        self.store.commit()

    def _set_is_wanted(self, key: str, cell: Cell, set_index: int) -> bool:
        record = self._sets.get(key)
        if record is None:
            return True
        if record.status == Status.FAILED:
            return self.retry_failed
        if all(
            self._is_trained(cell, (set_index, seed_index), record)
            for seed_index in range(cell.n_seeds)
        ):
            return False  # nothing will read it
        try:
            self.store.load_set(record)
        except DamagedFileError as error:
            self.reporter.note(f"{error}: making it again")
            return True
        return False

    def _planned_run(self, cell: Cell, index: tuple[int, int], record: SetRecord) -> PlannedRun:
        folder = self.store.set_folder(record.set_key)
        return cell.run(index, record.set_hash, folder, record.set_key)

    def _is_trained(self, cell: Cell, index: tuple[int, int], record: SetRecord) -> bool:
        """Whether a training need not be done (again)."""
        key = self._planned_run(cell, index, record).run_key
        status, _ = self._runs.get(key, (None, ""))
        return status == Status.OK or (status == Status.FAILED and not self.retry_failed)

    def _train(self, task: str, cells: Sequence[Cell], plan: Plan, summary: Summary) -> None:
        """Train what is missing, write rows for everything, and sum up each cell."""
        ordered = sorted(cells, key=lambda cell: cell.info["learner_order"])
        waiting: dict[str, list[Row]] = {}
        jobs: list[TrainJob] = []
        rows_of: dict[CellId, dict[tuple[int, int], Row]] = {}
        for cell in ordered:
            rows, runs = self._look_up(cell, waiting)
            rows_of[cell.id] = rows
            if runs:
                keep = self.store.root / "logits" if plan.keep_logits else None
                jobs.append(
                    TrainJob(
                        task, cell.learner.name, cell.learner.params(), tuple(runs.values()), keep
                    )
                )
        if jobs:
            self.reporter.stage(f"{task}: train", sum(len(job.runs) for job in jobs))
        for _, message in self.executor.run(jobs) if jobs else ():
            if isinstance(message, Trained):
                self._finish(message, waiting.pop(message.record.run_key, []), rows_of)
                summary.trained += message.record.status == Status.OK
                self.reporter.advance()
        for cell in ordered:
            self.store.fold_predictions(cell.id)
            bad = [row for row in rows_of[cell.id].values() if row.status != Status.OK]
            if bad:
                summary.failed[cell.id] = f"{len(bad)} of {len(cell.indices)} runs: {bad[0].reason}"
            else:
                summary.done += 1

    def _look_up(
        self, cell: Cell, waiting: dict[str, list[Row]]
    ) -> tuple[dict[tuple[int, int], Row], dict[str, PlannedRun]]:
        """Write the rows of a cell that can be known already; return the trainings it still needs.

        `waiting` gathers the rows that each training will complete.
        """
        rows: dict[tuple[int, int], Row] = {}
        runs: dict[str, PlannedRun] = {}
        known: list[Row] = []
        for index in cell.indices:
            record = self._sets[cell.set_key(index[0]).digest]
            if record.status != Status.OK:
                row = Row(cell.id, *index, record.set_key, "", Status.FAILED, record.reason)
                known.append(row)
                rows[index] = row
                continue
            run = self._planned_run(cell, index, record)
            row = Row(cell.id, *index, record.set_key, run.run_key, Status.FAILED)
            rows[index] = row
            if self._is_trained(cell, index, record):
                status, why = self._runs[run.run_key]
                rows[index] = replace(row, status=status, reason=why)
                known.append(rows[index])
            else:
                if run.run_key not in waiting:
                    waiting[run.run_key] = []
                    runs[run.run_key] = run
                waiting[run.run_key].append(row)
        self.store.put_rows(row for row in known if not self._is_written(row))
        self.store.commit()
        return rows, runs

    def _is_written(self, row: Row) -> bool:
        cell = row.cell
        identity = (
            cell.suite, cell.task, cell.method, cell.params, cell.dpc, cell.learner,
            row.set_index, row.seed_index,
        )  # fmt: skip
        return self._rows.get(identity) == (row.run_key, row.status)

    def _finish(
        self,
        trained: Trained,
        rows: Iterable[Row],
        rows_of: dict[CellId, dict[tuple[int, int], Row]],
    ) -> None:
        """Write a training and the rows that point to it in one transaction."""
        record = replace(trained.record, environment=self._environment, created=time.time())
        self._runs[record.run_key] = (record.status, record.reason)
        self.store.put_run(record, trained.predictions)
        finished = [replace(row, status=record.status, reason=record.reason) for row in rows]
        for row in finished:
            rows_of[row.cell][row.set_index, row.seed_index] = row
        self.store.put_rows(finished)
        self.store.commit()
