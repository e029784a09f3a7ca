"""Words that the two texts of a pair share, and scores on pairs that share few and many of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evaluators.audits import normalise


def word_overlap(columns: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Return words in common as shares of both texts' words, the first's, the second's: (n, 3).

    Words are counted once each, lower-cased, without marks; a text without words shares nothing.

    Raises:
        ValueError: there are not two columns.
    """
    if len(columns) != 2:
        raise ValueError("word overlap is of the two texts of a pair")
    figures = np.zeros((len(next(iter(columns.values()))), 3))
    for row, (first, second) in enumerate(zip(*columns.values(), strict=True)):
        a, b = set(normalise(first).split()), set(normalise(second).split())
        if a and b:
            figures[row] = len(a & b) / np.array([len(a | b), len(a), len(b)])
    return figures


def low_half(columns: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Mark the half of the pairs that share the smallest share of their words, (n,) of bool.

    Of pairs that share alike the earlier ones are in the low half; an odd pair is in the high one.
    """
    order = np.argsort(word_overlap(columns)[:, 0], kind="stable")
    low = np.zeros(len(order), dtype=bool)
    low[order[: len(order) // 2]] = True
    return low


def half_scores(predictions: np.ndarray, labels: np.ndarray, low: np.ndarray) -> dict[str, float]:
    """Return the accuracy on both halves, shape (n,) each; a half without pairs has none."""
    right = predictions == labels
    halves = {"low_overlap": low, "high_overlap": ~low}
    return {name: float(right[half].mean()) for name, half in halves.items() if half.any()}
