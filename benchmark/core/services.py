"""What the harness does for a method besides the pool: encode texts, find models, tell progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.core.errors import InputError

Columns = Mapping[str, Sequence[str]]


def _no_encoder(encoder: str, columns: Columns) -> np.ndarray:
    raise InputError(f"this pool was made without encoders; {encoder!r} cannot encode new texts")


def _no_model(name: str) -> Path:
    raise InputError(f"this pool was made without models; {name!r} cannot be had")


def _quiet(words: str, done: int, total: int) -> None:
    pass


def _unbilled(who: str, tokens: int) -> None:
    pass


@dataclass(frozen=True)
class Services:
    """Functions that a pool hands on to methods.

    Attributes
    ----------
    encode : features of texts that are not in the pool, float32, shape (n, d).
    model : the folder with a catalogue model's files; a method names its models in `models`, so
        that they are looked for before work starts.
    report : tells a person how far something long is: words, steps done, steps in all.
    bill : is told what an endpoint billed for a reply: whom it was for, tokens. `encode` tells it
        by itself.
    parts : folder for what is long in the making and may be shared by several sets or methods
        (`benchmark.core.states.shared_part`); None where nothing is kept.
    """

    encode: Callable[[str, Columns], np.ndarray] = _no_encoder
    model: Callable[[str], Path] = _no_model
    report: Callable[[str, int, int], None] = _quiet
    bill: Callable[[str, int], None] = _unbilled
    parts: Path | None = None
