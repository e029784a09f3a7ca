"""What a preparation writes down of itself: curves by step, seconds by phase, findings.

The journal lies in the state's folder as JSON lines, appended and flushed line by line, so that a
killed preparation loses nothing; where a resumed one repeats steps, the last line of a step counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = "journal.jsonl"
NUMBER = int | float
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("curve", {"step": int, "value": NUMBER}),
    ("phase", {"seconds": NUMBER}),
    ("finding", {"value": NUMBER | str}),
)
"""What a line can be about, and the types of its other fields."""


def append_line(path: Path, line: str) -> None:
    """Write a line at the end of a file, on a line of its own: a kill may have cut the last short,
    which would swallow it."""
    with path.open("ab+") as handle:
        torn = False
        if handle.tell():
            handle.seek(-1, os.SEEK_END)
            torn = handle.read(1) != b"\n"
        handle.write(b"\n" * torn + line.encode() + b"\n")


class Journal:
    """Append-only notes in a state's folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def _append(self, **line: Any) -> None:
        append_line(self.path, json.dumps(line))

    def log(self, curve: str, step: int, value: float) -> None:
        """Note one point of a curve, such as `"language_model_loss"` at optimiser step 200."""
        self._append(curve=curve, step=step, value=float(value))

    def find(self, name: str, value: float | str) -> None:
        """Note one finding about the whole preparation, such as a mean cosine."""
        self._append(finding=name, value=value)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase; what a killed run of it had taken up to its last `lap` is kept."""
        self._started, self._phase = time.perf_counter(), name
        try:
            yield
        finally:
            self.lap()

    def lap(self) -> None:
        """Write down the seconds of the running phase so far."""
        now = time.perf_counter()
        self._append(phase=self._phase, seconds=now - self._started)
        self._started = now

    def lines(self) -> list[dict[str, Any]]:
        """Everything noted, in order; what a kill cut short or a disk damaged is left out."""
        found = []
        content = self.path.read_bytes() if self.path.exists() else b""
        for text in content.split(b"\n"):
            with contextlib.suppress(ValueError, RecursionError):
                line = json.loads(text)
                if any(_is_a(line, *kind) for kind in KINDS):
                    found.append(line)
        return found

    def curves(self) -> dict[str, dict[int, float]]:
        """Points of every curve by step."""
        curves: dict[str, dict[int, float]] = defaultdict(dict)
        for line in self.lines():
            if "curve" in line:
                curves[line["curve"]][line["step"]] = line["value"]
        return {name: dict(sorted(points.items())) for name, points in curves.items()}

    def phases(self) -> dict[str, float]:
        """Seconds of every phase, over all tries."""
        seconds: dict[str, float] = defaultdict(float)
        for line in self.lines():
            if "phase" in line:
                seconds[line["phase"]] += line["seconds"]
        return dict(seconds)

    def findings(self) -> dict[str, float | str]:
        """Every finding; the last of a name counts."""
        return {line["finding"]: line["value"] for line in self.lines() if "finding" in line}


def _is_a(line: Any, kind: str, fields: dict[str, Any]) -> bool:
    """Whether a line is what `_append` writes of this kind."""
    return (
        isinstance(line, dict)
        and isinstance(line.get(kind), str)
        and all(isinstance(line.get(name), of) for name, of in fields.items())
    )
