"""The split on which the best outer step is chosen, carved from the pool."""

from __future__ import annotations

import numpy as np

from benchmark.core.errors import BenchmarkError


def carve(labels: np.ndarray, rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split row numbers into (training, selection): at most `rows`, at most a fifth of each class.

    Each class has its share of the selection rows, one at least.

    Raises `BenchmarkError` for a class of one row, which cannot be on both sides.
    """
    share = min(0.2, rows / len(labels))
    selection = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise BenchmarkError(
                f"class {label} has {len(members)} row: to optimise a set on some rows and choose "
                "its best step on others takes two of each class"
            )
        size = max(1, round(share * len(members)))
        selection.append(rng.choice(members, size, replace=False))
    chosen = np.sort(np.concatenate(selection))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen
