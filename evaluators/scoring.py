"""Scores of one run, from its confusion matrix.

Every run is scored, many thousands in a suite, so this is plain NumPy and takes a fraction of a
millisecond. `metrics/text_classification.py` has the same metrics as an `evaluate` module on
scikit-learn; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.task import METRICS

BINARY = ("accuracy_f1",)  # need a positive class: index 1 of two


def score(
    metric: str, predictions: ArrayLike, labels: ArrayLike, n_classes: int
) -> dict[str, float]:
    """Score predictions against labels, both class indices below `n_classes`.

    Returns `accuracy`, `macro_f1` and `matthews`, and for two classes `f1` (of class 1) and
    `accuracy_f1`, as fractions. `metric` is the task's; it must be among them. A figure that would
    divide by zero is 0, and `macro_f1` leaves out classes that occur neither in the labels nor in
    the predictions, both as in scikit-learn.
    """
    check(metric, n_classes)
    matrix = confusion_matrix(predictions, labels, n_classes)
    total = float(matrix.sum())
    right = np.diagonal(matrix).astype(float)
    support = matrix.sum(axis=1).astype(float)
    predicted = matrix.sum(axis=0).astype(float)

    accuracy = right.sum() / total
    both = support + predicted
    f1 = 2 * right / np.where(both > 0, both, 1)
    scores = {
        "accuracy": accuracy,
        "macro_f1": f1[both > 0].mean(),
        "matthews": _matthews(total, right.sum(), support, predicted),
    }
    if n_classes == 2:
        scores |= {"f1": f1[1], "accuracy_f1": (accuracy + f1[1]) / 2}
    return {name: float(value) for name, value in scores.items()}


def primary(metric: str, scores: Mapping[str, float]) -> float:
    """The one score that tables and tests use for a task with this `metric`."""
    if metric not in scores:
        raise InputError(f"unknown metric {metric!r}.{did_you_mean(metric, list(scores))}")
    return scores[metric]


def check(metric: str, n_classes: int) -> None:
    """Raise `InputError` if a task with so many classes cannot be scored by `metric`."""
    if metric not in METRICS:
        raise InputError(f"unknown metric {metric!r}.{did_you_mean(metric, list(METRICS))}")
    if metric in BINARY and n_classes != 2:
        raise InputError(f"metric {metric!r} needs two classes, not {n_classes}")


def confusion_matrix(predictions: ArrayLike, labels: ArrayLike, n_classes: int) -> np.ndarray:
    """Counts of shape (true class, predicted class)."""
    predictions, labels = _indices(predictions, n_classes), _indices(labels, n_classes)
    if predictions.shape != labels.shape:
        raise ValueError(f"{len(predictions)} predictions for {len(labels)} labels")
    cells = np.bincount(labels * n_classes + predictions, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes)


def _indices(values: ArrayLike, n_classes: int) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(
            f"expected a filled vector of class indices, not {array.dtype} {array.shape}"
        )
    if array.min() < 0 or array.max() >= n_classes:
        raise ValueError(f"class indices {array.min()} to {array.max()} for {n_classes} classes")
    return array.astype(np.int64, copy=False)


def _matthews(total: float, right: float, support: np.ndarray, predicted: np.ndarray) -> float:
    """Gorodkin's correlation of the two labellings; for two classes Matthews'."""
    spread = (total**2 - support @ support) * (total**2 - predicted @ predicted)
    return (right * total - support @ predicted) / np.sqrt(spread) if spread > 0 else 0.0
