"""Progress: a Rich bar with the time left on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_SECONDS = 15.0


class ProgressReporter:
    """Tells how far the work is, on stderr. Use as a context manager.

    `quiet` leaves notes only, such as that another run holds the store.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=quiet or not self.console.is_terminal,
        )
        self._stage = self._inner = None
        self._words, self._done, self._total = "", 0, 0
        self._told = 0.0

    def __enter__(self) -> ProgressReporter:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stage(self, words: str, total: int) -> None:
        """Begin a stage of `total` steps."""
        if self._stage is not None:
            self._bar.remove_task(self._stage)
        self._stage = self._bar.add_task(words, total=total)
        self._words, self._done, self._total = words, 0, total
        self._plain(f"{words}: {total}", force=True)

    def advance(self, steps: int = 1) -> None:
        """Count steps of the stage."""
        self._done += steps
        if self._stage is not None:
            self._bar.advance(self._stage, steps)
        self._plain(f"{self._words}: {self._done} of {self._total}")

    def inner(self, words: str, done: int, total: int) -> None:
        """Tell of something slow within a step, such as encoding a task's texts."""
        if done < total:
            if self._inner is None:
                self._inner = self._bar.add_task(words, total=total)
            self._bar.update(self._inner, description=words, completed=done, total=total)
        elif self._inner is not None:
            self._bar.remove_task(self._inner)
            self._inner = None
        self._plain(f"{words}: {done:,} of {total:,}")

    def note(self, words: str) -> None:
        """Say something worth a line of its own."""
        self.console.print(words, highlight=False, markup=False, soft_wrap=True)

    def _plain(self, words: str, *, force: bool = False) -> None:
        if self.quiet or self.console.is_terminal:
            return
        now = time.monotonic()
        if force or now - self._told >= PLAIN_SECONDS:
            self._told = now
            print(words, file=sys.stderr, flush=True)
