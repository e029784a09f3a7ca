"""What a preparation writes down of itself: curves by step, seconds by phase, findings.

The journal lies in the state's folder as JSON lines, appended and flushed line by line, so that a
killed preparation loses nothing; where a resumed one repeats steps, the last line of a step counts.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = "journal.jsonl"


class Journal:
    """Append-only notes in a state's folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def _append(self, **line: Any) -> None:
        with self.path.open("a") as handle:
            handle.write(json.dumps(line) + "\n")

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
        """Everything noted, in order; a last line that a kill cut short is left out."""
        found = []
        for text in self.path.read_text().splitlines() if self.path.exists() else ():
            with contextlib.suppress(ValueError):
                found.append(json.loads(text))
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
