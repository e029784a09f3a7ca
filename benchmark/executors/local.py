"""Run jobs on this machine: in this process, or in worker processes that can be stopped."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

from benchmark.core.errors import BenchmarkError
from benchmark.core.library import Library, LibraryConfig
from benchmark.core.threads import usable_cores, use_threads
from benchmark.executors.base import Done, Executor, Limits, Report, key_of, unfinished
from benchmark.executors.order import Order
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

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Message | Done]]:
        """Run all jobs in order."""
        for job in jobs:
            for message in perform(job, self.library):
                yield job, message
            yield job, Done()


class Begun:
    """A worker has taken its job: the time that it may use runs from here."""


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
        self._workers = [_Worker(config, threads) for _ in range(workers)]

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Message | Done]]:
        """Run all jobs; messages of different jobs interleave."""
        order = Order(jobs)
        busy: list[_Worker] = []
        try:
            while True:
                for worker in self._workers:
                    if worker.job is None and (job := order.next()) is not None:
                        worker.start(job)
                        busy.append(worker)
                if not busy:
                    return
                ready = wait([worker.pipe for worker in busy], POLL_SECONDS)
                for worker in list(busy):
                    job = worker.job
                    assert job is not None
                    why, fault = "", self._fault(worker)
                    if fault:
                        worker.kill()  # what it has sent can still be read
                    while fault or worker.pipe in ready:
                        message, why = worker.receive()
                        if isinstance(message, tuple):
                            if self.report is not None:
                                self.report(*message)
                        elif isinstance(message, OSError | BenchmarkError):
                            raise message
                        elif message is not None:
                            yield job, message
                        if why or worker.job is None or not fault:
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

    def _fault(self, worker: _Worker) -> str:
        limits = self.limits
        if limits.seconds is not None and time.monotonic() - worker.started > limits.seconds:
            return f"stopped after {limits.seconds:g} s (--timeout)"
        if limits.gigabytes is not None and worker.resident_gb() > limits.gigabytes:
            return f"stopped for using more than {limits.gigabytes:g} GB (--memory)"
        return ""

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.stop()


class _Worker:
    """One child process, started when it first gets a job and again after it was stopped."""

    def __init__(self, config: LibraryConfig, threads: int) -> None:
        self.config = config
        self.threads = threads
        self.job: Job | None = None
        self.finished: set[str] = set()
        self.started = 0.0
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self, job: Job) -> None:
        if self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=_work, args=(theirs, self.config, self.threads), daemon=True
            )
            self._process.start()
            theirs.close()
        self.job = job
        self.finished = set()
        self.started = float("inf")  # until it has loaded what it needs and takes the job
        with contextlib.suppress(BrokenPipeError):  # it died between two jobs: `receive` says so
            self.pipe.send(job)

    def receive(self) -> tuple[Message | Done | tuple | Exception | None, str]:
        """Return the next message, or why there will be none."""
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):  # also in the midst of a message
            assert self._process is not None
            self._process.join(5)
            self.kill()
            code = self._process.exitcode
            how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            return None, f"its worker process died ({how}); it may have run out of memory"
        if isinstance(message, Begun):
            self.started = time.monotonic()
            return None, ""
        if isinstance(message, Done):
            self.job = None
        elif not isinstance(message, tuple | OSError | BenchmarkError):
            self.finished.add(key_of(message))
        return message, ""

    def resident_gb(self) -> float:
        assert self._process is not None
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except OSError:
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e9

    def kill(self) -> None:
        """End the process; what it has sent stays in the pipe."""
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join()

    def stop(self) -> None:
        self.kill()
        if self._process is not None:
            self.pipe.close()
        self._process = None
        self.job = None


def _belong_to_driver() -> None:
    """Leave Ctrl-C to the driver, and end when it ends, even by a kill in the midst of a job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    driver = multiprocessing.parent_process()
    if driver is not None and os.getppid() != driver.pid:  # it ended before that line
        os._exit(1)


def _work(pipe: Connection, config: LibraryConfig, threads: int) -> None:
    """Body of a worker process: jobs in, messages out, until the driver closes the pipe."""
    _belong_to_driver()
    use_threads(threads)
    library = Library(config, lambda *told: pipe.send(told))
    while True:
        try:
            job = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send(Begun())
            for message in perform(job, library):
                pipe.send(message)
            pipe.send(Done())
        except OSError as error:
            # A full disk ends the run: no other job would fare better.
            pipe.send(OSError(error.errno, error.strerror or str(error), error.filename))
        except BenchmarkError as error:
            pipe.send(error)
