"""What is known of a pool before any work: enough to estimate a method, or to refuse it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

TYPICAL_WORDS = 20.0


@dataclass(frozen=True)
class Outline:
    """A pool seen from afar.

    Attributes
    ----------
    class_counts : rows of each class.
    words : words of each row, shape (rows,); empty where they are not known.
    models : folder of each pretrained model that is at hand, by its catalogue name.
    """

    class_counts: tuple[int, ...]
    words: np.ndarray = field(default_factory=lambda: np.zeros(0))
    models: Mapping[str, Path] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of all classes."""
        return sum(self.class_counts)

    @property
    def mean_words(self) -> float:
        """Words of a row, `TYPICAL_WORDS` where they are not known."""
        return float(self.words.mean()) if len(self.words) else TYPICAL_WORDS


@dataclass(frozen=True)
class Need:
    """Memory that making a set takes at its peak, and how to make it less."""

    bytes: float
    advice: str = ""
