"""Run jobs on this machine: in this process, or in worker processes that can be stopped."""

from __future__ import annotations

import atexit
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait

from benchmark.core.errors import BenchmarkError
from benchmark.core.library import Library, LibraryConfig
from benchmark.core.threads import usable_cores
from benchmark.executors.base import Done, Executor, Limits, Report, unfinished
from benchmark.executors.order import More, Order, no_more
from benchmark.executors.worker import Worker
from benchmark.work import Job, Message, perform

POLL_SECONDS = 0.25


def choose_local(
    config: LibraryConfig,
    library: Library,
    workers: int,
    limits: Limits,
    report: Report | None = None,
    threads: int | None = None,
) -> Executor:
    """One worker without limits needs no process of its own; everything else gets processes.

    `threads` are those of each worker process; None divides the cores that this one may use.
    """
    if workers == 1 and limits == Limits():
        return InProcess(config, limits, report, library)
    threads = threads or max(1, usable_cores() // workers)
    return Processes(config, limits, report, workers, threads)


class InProcess(Executor):
    """Jobs one after the other, in the driver's process, with its library."""

    def __init__(
        self, config: LibraryConfig, limits: Limits, report: Report | None, library: Library
    ) -> None:
        super().__init__(config, limits, report)
        self.library = library

    def run(
        self, jobs: Sequence[Job], more: More = no_more
    ) -> Iterator[tuple[Job, Message | Done]]:
        """Run all jobs in order."""
        order = Order(jobs, more)
        while (job := order.next()) is not None:
            for message in perform(job, self.library):
                yield job, message
            yield job, Done()
            order.ended(job)


class Processes(Executor):
    """Worker processes, each with `threads` threads.

    A worker that dies, exceeds its time or its memory loses what it had not yet reported: those
    runs become failed rows with the reason, and a fresh worker takes the next job.
    """

    def __init__(
        self,
        config: LibraryConfig,
        limits: Limits,
        report: Report | None,
        workers: int,
        threads: int,
    ) -> None:
        super().__init__(config, limits, report)
        self._workers = [Worker(config, threads) for _ in range(workers)]
        atexit.register(self.close)  # Python would wait for processes that are at work

    def run(
        self, jobs: Sequence[Job], more: More = no_more
    ) -> Iterator[tuple[Job, Message | Done]]:
        """Run all jobs; messages of different jobs interleave."""
        order = Order(jobs, more)
        busy: list[Worker] = []
        try:
            while True:
                for worker in self._workers:
                    if worker.job is None and (job := order.next()) is not None:
                        worker.start(job)
                        busy.append(worker)
                if not busy:
                    return
                ready = wait([sign for worker in busy for sign in worker.signs], POLL_SECONDS)
                for worker in list(busy):
                    job = worker.job
                    assert job is not None
                    why, fault = "", self._fault(worker)
                    at_end = bool(fault) or worker.has_ended
                    if at_end:
                        worker.kill()  # what it has sent can still be read
                    while at_end or worker.pipe in ready:
                        message, why = worker.receive()
                        if isinstance(message, tuple):
                            if self.report is not None:
                                self.report(*message)
                        elif isinstance(message, OSError | BenchmarkError):
                            raise message
                        elif message is not None:
                            yield job, message
                        if why or worker.job is None or not at_end:
                            break
                    if fault:  # unless the job was done after all
                        why = fault if worker.job is not None else ""
                        worker.stop()
                    if why:
                        for message in unfinished(job, worker.finished, why):
                            yield job, message
                        worker.stop()
                        yield job, Done()
                    if worker.job is None:
                        busy.remove(worker)
                        order.ended(job)
        finally:
            for worker in busy:
                worker.stop()

    def _fault(self, worker: Worker) -> str:
        limits = self.limits
        if limits.seconds is not None and time.monotonic() - worker.started > limits.seconds:
            return f"stopped after {limits.seconds:g} s (--timeout)"
        if limits.gigabytes is not None and worker.resident_gb() > limits.gigabytes:
            return f"stopped for using more than {limits.gigabytes:g} GB (--memory)"
        return ""

    def close(self) -> None:
        """End all workers."""
        atexit.unregister(self.close)
        for worker in self._workers:
            worker.stop()
