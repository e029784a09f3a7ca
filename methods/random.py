"""Random: the baseline that every method has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.core.method import Selector, register
from benchmark.core.pool import Pool


@register("random")
class Random(Selector):
    """Draw examples uniformly, without replacement, independently in each class."""

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        """Return `size` distinct rows; every subset of that size is equally likely."""
        return rng.choice(len(pool), size=size, replace=False)
