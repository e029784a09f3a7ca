"""Fairness measures against their definition."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.fairness import fairness


def by_definition(predictions, labels, groups, n_classes):
    gaps = []
    for label in range(n_classes):
        rates = [
            (predictions[(groups == g) & (labels == label)] == label).mean()
            for g in np.unique(groups)
            if ((groups == g) & (labels == label)).any()
        ]
        if len(rates) > 1:
            gaps.append(max(rates) - min(rates))
    worst = min((predictions == labels)[groups == g].mean() for g in np.unique(groups))
    return np.sqrt(np.mean(np.square(gaps))), worst


@pytest.mark.parametrize("seed", range(4))
def test_measures_are_their_definition(seed):
    rng = np.random.default_rng(seed)
    labels, predictions = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    groups = rng.choice([0, 1, 3, 4], 90)
    found = fairness(predictions, labels, groups, 3)
    gap, worst = by_definition(predictions, labels, groups, 3)
    assert found == {"tpr_gap": pytest.approx(gap), "worst_group": pytest.approx(worst)}


@pytest.mark.parametrize("groups", [[0, 0, 0, 0], [0, 0, 1, 1]])
def test_where_nothing_can_be_compared_there_is_no_gap(groups):
    """One group alone, or each class in a group of its own."""
    labels = np.array([0, 0, 1, 1])
    found = fairness(np.array([0, 1, 1, 1]), labels, np.array(groups), 2)
    assert found.keys() == {"worst_group"}


def test_two_groups_and_a_class_that_one_lacks():
    labels = np.array([0, 0, 0, 0, 1, 1])
    predictions = np.array([0, 0, 0, 1, 1, 0])
    groups = np.array([0, 0, 1, 1, 0, 0])
    assert fairness(predictions, labels, groups, 2) == {"tpr_gap": 0.5, "worst_group": 0.5}
    assert fairness(labels, labels, groups, 2) == {"tpr_gap": 0.0, "worst_group": 1.0}
