"""What was done before and how much work it was: what estimates are scaled from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.core.effort import Effort
from benchmark.core.errors import InputError
from benchmark.core.method import METHODS, Budget, Method
from benchmark.core.outline import Outline
from benchmark.core.states import PHASE


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


@dataclass(frozen=True)
class StatePrecedent:
    """What a method learned once on a task: seconds in all, and of phases whose effort is known.

    `kind` is the adapter, or None where the method is no longer known; `params` are those that it
    had, and `phases` are seconds and effort.
    """

    method: str
    kind: type[Method] | None
    params: Mapping[str, Any]
    task: str
    seconds: float
    phases: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, made: Mapping[str, Any], task: str, facts: Mapping[str, float]) -> StatePrecedent:
        """What the facts of a set tell of the state that it was made with."""
        name, params = str(made.get("method")), dict(made.get("params") or {})
        seconds = facts["prepare_seconds"]
        try:
            method = METHODS.build(name, params)
        except (InputError, TypeError, ValueError):
            return cls(name, None, params, task, seconds)
        phases = {
            phase: (facts[PHASE + phase], effort)
            for phase, effort in method.phase_efforts().items()
            if effort > 0 and PHASE + phase in facts
        }
        return cls(name, type(method), params, task, seconds, phases)

    def scaled(self, efforts: Mapping[str, float]) -> float:
        """Seconds of a variant whose phases have these efforts.

        Phases that only one of the two has are taken as they were.
        """
        more = [
            seconds * (efforts[phase] / effort - 1)
            for phase, (seconds, effort) in self.phases.items()
            if phase in efforts
        ]
        return max(self.seconds + sum(more), 0.0)


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
