"""Thinning real rows until classes, or classes within groups, are equally large; where to start."""

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


def first_rows(
    labels: np.ndarray, training: np.ndarray, wanted: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw a training row of the class of each learned row, none twice where they are enough.

    `labels` (n,) are those of all rows, `training` numbers among them, `wanted` (m,) the classes.
    """
    rows = np.empty(len(wanted), dtype=np.int64)
    for label in np.unique(wanted):
        members, places = training[labels[training] == label], np.flatnonzero(wanted == label)
        rows[places] = rng.choice(members, len(places), replace=len(places) > len(members))
    return rows
