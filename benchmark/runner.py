"""The runner: carries out a plan, task by task, and writes what comes back.

Of each task, the sets that are not in the store are made, and what is trained on them follows as
soon as a cell has all its sets. An executor that spreads work over many machines gets the work of
all tasks at once. Work is decided by keys, completeness by rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from benchmark.agenda import Agenda
from benchmark.cells import Cell
from benchmark.core.endpoint import ask_all_again
from benchmark.core.errors import DamagedFileError
from benchmark.core.records import UNAVAILABLE, CellId, Row, SetRecord, Status
from benchmark.core.vector_cache import tokens_billed
from benchmark.environment import describe_environment
from benchmark.executors import Executor
from benchmark.plan import Plan
from benchmark.predictions import Predictions
from benchmark.store import Store
from benchmark.work import PlannedRun, SetJob, Trained, TrainJob


class Reporter(Protocol):
    """Where progress is told; the command line has a bar and a plain form."""

    def stage(self, words: str, total: int) -> None:
        """A stage of `total` steps begins, beside others; or one that has begun has other steps."""

    def advance(self, words: str) -> None:
        """A step of the stage is done."""

    def note(self, words: str) -> None:
        """Something worth a line."""


@dataclass
class Summary:
    """What a run came to.

    Of the failed runs, `to_retry` stay so until a retry is asked for, and `to_go_on` lacked what
    the next run looks for again. `tokens` are those that endpoints billed.
    """

    done: int = 0
    trained: int = 0
    distilled: int = 0
    failed: dict[CellId, str] = field(default_factory=dict)
    unavailable: dict[CellId, str] = field(default_factory=dict)
    structural: int = 0
    seconds: float = 0.0
    to_retry: int = 0
    to_go_on: int = 0
    tokens: int = 0

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
        ask_all_again()
        billed = tokens_billed(self.store.root / "features")
        self._environment = describe_environment()
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
        self._lacking: set[str] = set()
        self._predictions = Predictions(self.store)
        self._drop_stale(plan.cells)
        self._rows = self.store.row_states(plan.suite.name)
        for name, cells in self._portions(plan):
            self._carry_out(name, cells, plan, summary)
        summary.tokens = tokens_billed(self.store.root / "features") - billed
        summary.seconds = time.monotonic() - started
        return summary

    def _portions(self, plan: Plan) -> Iterable[tuple[str, list[Cell]]]:
        """The cells that are worked on together, and what to call them."""
        by_task = plan.by_task()
        if self.executor.spreads and len(by_task) > 1:
            return [(f"{len(by_task)} tasks", [*plan.cells])]
        return by_task.items()

    def _drop_stale(self, cells: Sequence[Cell]) -> None:
        """Delete rows whose keys are not what their cell is made of now.

        So no table mixes old and new rows, whenever the work is stopped. Nothing is lost: what is
        still right is found by its key and written again. All trainings of a cell share recipe,
        models and test split, so one of them tells for all.
        """
        for cell in cells:
            rows = self.store.rows_of(cell.id)
            mine = {i: cell.owned_key(i) for i in {index[0] for index in rows}}
            stale = {index for index, row in rows.items() if row[0] != mine[index[0]]}
            for index, (set_key, run_key, _) in rows.items():
                record = self._sets.get(set_key)
                if index not in stale and run_key and record and record.status == Status.OK:
                    if self._planned_run(cell, index, record).run_key != run_key:
                        stale = set(rows)
                    break
            self.store.delete_rows(cell.id, stale)
        self.store.commit()

    def _missing_sets(self, cells: Sequence[Cell]) -> dict[str, SetJob]:
        """Sets that are missing, damaged, failed for want of something or (on request) failed
        otherwise."""
        jobs: dict[str, SetJob] = {}
        for cell in cells:
            for set_index in range(cell.n_sets):
                key = cell.set_key(set_index).digest
                if key in jobs or not self._set_is_wanted(key, cell, set_index):
                    continue
                folder = self.store.set_folder(key)
                jobs[key] = cell.set_job(set_index, self.store.root, folder)
        return jobs

    def _set_is_wanted(self, key: str, cell: Cell, set_index: int) -> bool:
        record = self._sets.get(key)
        if record is None:
            return True
        if record.status == Status.FAILED:
            return not record.is_settled(self.retry_failed)
        try:  # also where all is trained on it: `show`, `submit` and other learners read it
            self.store.load_set(record)
        except DamagedFileError as error:
            self.reporter.note(f"{error}: making it again")
            return True
        return False

    def _planned_run(self, cell: Cell, index: tuple[int, int], record: SetRecord) -> PlannedRun:
        folder = self.store.set_folder(record.set_key)
        return cell.run(index, record.set_hash, folder, record.set_key)

    def _is_done(self, run_key: str) -> bool:
        status, _ = self._runs.get(run_key, (None, ""))
        return status == Status.OK or (status == Status.FAILED and not self.retry_failed)

    def _carry_out(self, name: str, cells: Sequence[Cell], plan: Plan, summary: Summary) -> None:
        """Make and train what is missing, write rows for everything, and sum up each cell."""
        ordered = sorted(cells, key=lambda cell: cell.info["learner_order"])
        keep = self.store.root / "logits" if plan.keep_logits else None
        waiting: dict[str, list[Row]] = {}
        rows_of: dict[CellId, dict[tuple[int, int], Row]] = {}

        def look_up(cell: Cell) -> TrainJob | None:
            rows_of[cell.id], runs = self._look_up(cell, waiting)
            if not runs:
                return None
            learner = cell.learner
            runs_of = tuple(runs.values())
            return TrainJob(cell.id.task, learner.name, learner.params(), runs_of, keep)

        agenda = Agenda(self._missing_sets(cells), ordered, look_up)
        stages = {"distil": len(agenda.sets), "train": agenda.trainings}
        for stage, total in stages.items():
            if total:
                self.reporter.stage(f"{name}: {stage}", total)
        for _, message in self.executor.run(agenda.sets, agenda.more):
            if agenda.trainings != stages["train"]:
                stages["train"] = agenda.trainings
                self.reporter.stage(f"{name}: train", agenda.trainings)
            if isinstance(message, SetRecord):
                self._sets[message.set_key] = message
                self.store.put_set(message)
                self.store.commit()
                agenda.made(message.set_key)
                summary.distilled += message.status == Status.OK
                self.reporter.advance(f"{name}: distil")
            elif isinstance(message, Trained):
                self._finish(message, waiting.pop(message.record.run_key, []), rows_of)
                summary.trained += message.record.status == Status.OK
                self.reporter.advance(f"{name}: train")
        for cell in ordered:
            self._predictions.fold(cell.id)
            bad = [row for row in rows_of[cell.id].values() if row.status != Status.OK]
            if bad:
                summary.failed[cell.id] = f"{len(bad)} of {len(cell.indices)} runs: {bad[0].reason}"
                lacking = sum(map(self._lacked_something, bad))
                summary.to_go_on += lacking
                summary.to_retry += len(bad) - lacking
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
        records = {i: self._sets[cell.set_key(i).digest] for i in range(cell.n_sets)}
        planned = {
            index: self._planned_run(cell, index, records[index[0]])
            for index in cell.indices
            if records[index[0]].status == Status.OK
        }
        keys = {run.run_key for run in planned.values()}
        good = {key for key in keys if self._runs.get(key, ("",))[0] == Status.OK}
        for key in self._predictions.lost(cell.id, good):
            del self._runs[key]
        for index in cell.indices:
            record = records[index[0]]
            if record.status != Status.OK:
                row = Row(cell.id, *index, record.set_key, "", Status.FAILED, record.reason)
                known.append(row)
                rows[index] = row
                continue
            run = planned[index]
            row = Row(cell.id, *index, record.set_key, run.run_key, Status.FAILED)
            rows[index] = row
            if self._is_done(run.run_key):
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
        return self._rows.get(identity) == (row.run_key, row.status, row.reason)

    def _lacked_something(self, row: Row) -> bool:
        """Whether a failed run is tried again without a request."""
        if row.run_key:
            return row.run_key in self._lacking
        return not self._sets[row.set_key].is_settled(False)

    def _finish(
        self,
        trained: Trained,
        rows: Iterable[Row],
        rows_of: dict[CellId, dict[tuple[int, int], Row]],
    ) -> None:
        """Write a training and the rows that point to it in one transaction."""
        environment = self.store.put_environment(trained.environment or self._environment)
        record = replace(trained.record, environment=environment, created=time.time())
        self._runs[record.run_key] = (record.status, record.reason)
        if UNAVAILABLE in record.costs:
            self._lacking.add(record.run_key)
        self.store.put_run(record, trained.predictions)
        finished = [replace(row, status=record.status, reason=record.reason) for row in rows]
        for row in finished:
            rows_of[row.cell][row.set_index, row.seed_index] = row
        self.store.put_rows(finished)
        self.store.commit()
