"""A worker process with all that it starts: given jobs, listened to, measured, ended as a whole."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path

from benchmark.core.errors import BenchmarkError
from benchmark.core.library import Library, LibraryConfig
from benchmark.core.threads import use_threads
from benchmark.executors.base import Done, key_of
from benchmark.work import Job, Message, perform

LAST_WORDS_SECONDS = 5


class Begun:
    """A worker has taken its job: the time that it may use runs from here."""


class Worker:
    """One child process, started when it first gets a job and again after it was stopped.

    It leads a process group, so that what an adapter starts ends with it and its memory counts.
    """

    def __init__(self, config: LibraryConfig, threads: int) -> None:
        self.config = config
        self.threads = threads
        self.job: Job | None = None
        self.finished: set[str] = set()
        self.started = 0.0
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self, job: Job) -> None:
        """Give it a job."""
        if self.has_ended:
            self.stop()
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            # Not a daemon: adapters may start processes of their own.
            self._process = context.Process(
                target=_work, args=(theirs, self.config, self.threads), daemon=False
            )
            self._process.start()
            theirs.close()
        self.job = job
        self.finished = set()
        self.started = float("inf")  # until it has loaded what it needs and takes the job
        with contextlib.suppress(BrokenPipeError):  # it died between two jobs: `receive` says so
            self.pipe.send(job)

    @property
    def has_ended(self) -> bool:
        """Whether there is no process, or none that runs."""
        return self._process is None or bool(wait([self._process.sentinel], 0))

    @property
    def signs(self) -> list[Connection | int]:
        """What becomes ready when it says something, and when it ends."""
        assert self._process is not None
        return [self.pipe, self._process.sentinel]

    def receive(self) -> tuple[Message | Done | tuple | Exception | None, str]:
        """Return the next message, or why there will be none."""
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):  # also in the midst of a message
            assert self._process is not None
            self._process.join(LAST_WORDS_SECONDS)
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
        """Memory of the process and of all that it has started."""
        assert self._process is not None
        assert self._process.pid is not None
        family = [self._process.pid, *_descendants(self._process.pid)]
        if len(family) == 1:
            return _resident(family[0]) / 1e9
        return sum(map(_share_of, family)) / 1e9

    def kill(self) -> None:
        """End the process and what it has started; what it has sent stays in the pipe."""
        if self._process is None or self.pipe.closed:
            return
        # The group first: once its leader has been waited for, its number may be another's.
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        # What left the group and lives on may hold the other end: then there is no end of file,
        # and to wait for one would be to wait for it.
        os.set_blocking(self.pipe.fileno(), False)

    def stop(self) -> None:
        """End it and forget what it was doing."""
        self.kill()
        if self._process is not None:
            self.pipe.close()
            self._process.close()
        self._process = None
        self.job = None


def _descendants(pid: int) -> Iterator[int]:
    """Children of a process, their children and so on, where Linux tells them."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                yield child
                yield from _descendants(child)


def _resident(pid: int) -> float:
    """Bytes of a process that are in memory; 0 where it has ended or the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _share_of(pid: int) -> float:
    """The same, where what several processes share (a fork does) is divided among them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return _resident(pid)
    return sum(1024.0 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _belong_to_driver() -> None:
    """Lead a group; leave Ctrl-C to the driver, and end when it ends, even by a kill in mid-job."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
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
