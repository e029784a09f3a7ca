"""Progress: a Rich bar with the time left on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_SECONDS = 15.0


@dataclass
class Stage:
    """A bar, and how far it is."""

    bar: TaskID
    total: int
    done: int = 0

    @property
    def is_over(self) -> bool:
        """Whether all its steps are done, so that its bar is of no more use."""
        return self.done >= self.total


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
        self._inner: TaskID | None = None
        self._stages: dict[str, Stage] = {}
        self._told = 0.0

    def __enter__(self) -> ProgressReporter:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stage(self, words: str, total: int) -> None:
        """Begin a stage of `total` steps; or say that one which has begun has so many."""
        for name in [name for name, stage in self._stages.items() if stage.is_over]:
            self._bar.remove_task(self._stages.pop(name).bar)
        if words in self._stages:
            self._stages[words].total = total
            self._bar.update(self._stages[words].bar, total=total)
            return
        self._stages[words] = Stage(self._bar.add_task(words, total=total), total)
        self._plain(f"{words}: {total}", force=True)

    def advance(self, words: str) -> None:
        """Count a step of a stage."""
        stage = self._stages[words]
        stage.done += 1
        self._bar.advance(stage.bar)
        self._plain(f"{words}: {stage.done} of {stage.total}")

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
