"""Fairness of predictions: how far groups of test rows are apart in what is got right."""

from __future__ import annotations

import numpy as np


def fairness(
    predictions: np.ndarray, labels: np.ndarray, groups: np.ndarray, n_classes: int
) -> dict[str, float]:
    """Score predictions (n,) of rows whose groups are numbers (n,).

    Returns, as fractions:

    * `tpr_gap`: of each class the largest true-positive rate of a group less the smallest, then the
      root mean square over classes; 0 is fair. With two groups it is the measure of De-Arteaga et
      al. (2019) and Ravfogel et al. (2020). Groups that have no row of a class are left out of it,
      and so are classes that fewer than two groups have; where no class is left there is no gap,
      and none is returned. Small groups widen it by chance alone, so
      that only gaps on the same test split compare.
    * `worst_group`: accuracy of the group in which it is lowest.
    """
    right = predictions == labels
    n_groups = int(groups.max()) + 1
    cells = groups * n_classes + labels
    shape = (n_groups, n_classes)
    support = np.bincount(cells, minlength=n_groups * n_classes).reshape(shape)
    hits = np.bincount(cells, right, minlength=n_groups * n_classes).reshape(shape)
    rates = np.where(support > 0, hits / np.maximum(support, 1), np.nan)
    compared = (support > 0).sum(axis=0) > 1
    kept = rates[:, compared]
    there = support.sum(axis=1) > 0
    accuracies = hits.sum(axis=1)[there] / support.sum(axis=1)[there]
    found = {"worst_group": float(accuracies.min())}
    if kept.size:
        gaps = np.nanmax(kept, axis=0) - np.nanmin(kept, axis=0)
        found["tpr_gap"] = float(np.sqrt((gaps**2).mean()))
    return found
