"""Full: the whole training set, the upper bound that other rows are read against."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.method import Budget, Method, register
from benchmark.core.pool import Pool


@register("full")
class Full(Method):
    """Keep every training example, whatever the budget."""

    deterministic = True
    budget = "none"

    def distil(
        self, pool: Pool, budget: Budget, rng: np.random.Generator, state: Path | None = None
    ) -> DistilledSet:
        """Return all rows in the pool's order."""
        return DistilledSet.of_texts(pool.texts(), pool.labels, pool.classes, rows=pool.indices)
