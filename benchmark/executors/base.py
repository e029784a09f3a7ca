"""What every executor promises, and what becomes of a job that its worker could not finish."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmark.core.library import LibraryConfig
from benchmark.core.records import RunRecord, SetRecord, Status
from benchmark.executors.order import More, no_more
from benchmark.work import Job, Message, SetJob, Trained

EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class Limits:
    """Limits of one job (a set, or the trainings of one cell): seconds and GB; None for none."""

    seconds: float | None = None
    gigabytes: float | None = None


@dataclass(frozen=True)
class Done:
    """The end of a job's messages."""


Report = Callable[[str, int, int], None]


class Executor(ABC):
    """Runs jobs and yields their messages as they come, each with its job, then `Done`.

    One that `spreads` is given the jobs of all tasks at once, for it has room for them; others get
    them task by task, so that a task's data are read once.
    """

    spreads: ClassVar[bool] = False

    def __init__(self, config: LibraryConfig, limits: Limits, report: Report | None) -> None:
        self.config = config
        self.limits = limits
        self.report = report

    @abstractmethod
    def run(
        self, jobs: Sequence[Job], more: More = no_more
    ) -> Iterator[tuple[Job, Message | Done]]:
        """Run all jobs, and those that `more` gives when no other can start.

        Every job ends in exactly one `Done`, whatever became of its worker.
        """

    def close(self) -> None:  # noqa: B027 - most executors hold nothing
        """Let go of workers."""


def unfinished(job: Job, finished: set[str], why: str) -> Iterator[Message]:
    """Failed records for what a dead or stopped worker left of a job."""
    if isinstance(job, SetJob):
        if job.set_key not in finished:
            yield SetRecord(job.set_key, "", Status.FAILED, why, job.ingredients)
        return
    for run in job.runs:
        if run.run_key not in finished:
            yield Trained(RunRecord(run.run_key, Status.FAILED, why, ingredients=run.ingredients))


def key_of(message: Message) -> str:
    """The set or run key that a message is about."""
    return message.set_key if isinstance(message, SetRecord) else message.record.run_key
