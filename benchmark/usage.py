"""What a job used: seconds, split between learner and harness, and memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path


class Clock:
    """Splits a job's wall time into the learner's and the harness's, run by run.

    What lies between two of the learner's outcomes is the harness's: scoring, and whatever becomes
    of the message. Their sum over a job is its wall time, less the encoding of texts.
    """

    def __init__(self) -> None:
        self._from = self._asked = time.perf_counter()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Leave what is done inside out of all runs' seconds."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self._from += time.perf_counter() - before

    def asks(self) -> None:
        """The learner is asked for its next outcome."""
        self._asked = time.perf_counter()

    def got(self) -> dict[str, float]:
        """The outcome is there: the seconds since the one before."""
        now = time.perf_counter()
        spent = {
            "learner_seconds": now - self._asked,
            "harness_seconds": self._asked - self._from,
        }
        self._from = now
        return spent


class PeakMemory:
    """Peak resident memory since this object was made, in MB, where the kernel allows a reset.

    Elsewhere it is the peak of the whole process.
    """

    def __init__(self) -> None:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def megabytes(self) -> float:
        """The peak so far."""
        try:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return round(int(line.split()[1]) / 1024, 1)
        except OSError:
            pass
        import resource

        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
