"""Thinning real rows until classes, or classes within groups, are equally large."""

from __future__ import annotations

import numpy as np


def balanced(labels: np.ndarray, groups: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Return positions of rows, sorted: of each class as many as the smallest has.

    With `groups`, of each pair of class and group that occurs. Which rows stay is drawn.
    """
    cells = labels if groups is None else groups * (int(labels.max()) + 1) + labels
    members = [np.flatnonzero(cells == cell) for cell in np.unique(cells)]
    least = min(map(len, members))
    return np.sort(np.concatenate([rng.choice(rows, least, replace=False) for rows in members]))
