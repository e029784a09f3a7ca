"""Label names only: a set made of the names of the classes, the floor of prior knowledge."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmark.core.method import Generator, register
from benchmark.core.pool import Pool


@register("label-names-only")
class LabelNamesOnly(Generator):
    """Write the name of the class, and nothing else, on every row.

    No training example is read. What a learner gains over chance from such a set it gains from what
    it knew before; a distilled set that does no better has distilled nothing. Marks between words
    become spaces ("card_arrival" is read as two words). A pair has the name on both sides.
    """

    deterministic = True

    def generate(
        self, pool: Pool, label: int, size: int, rng: np.random.Generator, state: Path | None
    ) -> Mapping[str, Sequence[str]]:
        """Return `size` times the class's name in every text column."""
        words = re.sub(r"[\W_]+", " ", pool.classes[label]).strip()
        return {name: [words or pool.classes[label]] * size for name in pool.text_columns}
