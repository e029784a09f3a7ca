"""What was done before and how much work it was: what estimates are scaled from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.core.effort import Effort
from benchmark.core.errors import InputError
from benchmark.core.method import METHODS, Budget, Method
from benchmark.core.outline import Outline


@dataclass(frozen=True)
class Precedent:
    """Median seconds of the trainings of one learner on one task at one DPC, and their effort."""

    learner: str
    task: str
    dpc: str
    train: float
    predict: float
    harness: float
    effort: Effort

    def scaled(self, effort: Effort) -> float:
        """Seconds of a training that takes `effort`."""
        reading = effort.predict / self.effort.predict
        return self.train * effort.train / self.effort.train + reading * self.predict + self.harness


@dataclass(frozen=True)
class SetPrecedent:
    """Median seconds of the sets of one method on one task at one DPC, and their effort.

    `kind` is the adapter, or None where the method is no longer known; `rows` are those of its
    pool.
    """

    method: str
    kind: type[Method] | None
    task: str
    dpc: str
    seconds: float
    effort: float
    rows: int


def set_effort(
    made: Mapping[str, Any], task: str, rows: int, outlines: Mapping[str, Outline]
) -> tuple[type[Method] | None, float]:
    """The adapter and effort of sets in the store, from what their key is made of."""
    plain = float(max(1, rows))
    try:
        method = METHODS.build(str(made["method"]), made["params"])
        per_class = tuple(int(n) for n in made["dpc"])
    except (InputError, KeyError, TypeError, ValueError):
        return None, plain  # a method or parameter that is gone, or a set made elsewhere
    outline = outlines.get(task)
    if outline is None:
        folders: dict[str, Path] = {}
        for other in outlines.values():
            folders |= other.models
        outline = Outline((rows,), models=folders)
    return type(method), max(method.effort(outline, Budget(per_class)), 1.0)
