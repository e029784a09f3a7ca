"""Overlap only: a classifier of pairs that sees how many words the two texts share, no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import TestTexts, register_learner
from evaluators.linear import Linear, LinearLearner
from evaluators.word_overlap import word_overlap

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


@register_learner("overlap-only")
class OverlapOnly(LinearLearner):
    """Logistic regression on three figures of a pair: what the two texts share of their words.

    The figures are the words in common, as a share of all words of the pair, of the first text's
    and of the second one's. A set that this learner does well with can be solved by a shortcut:
    paraphrases and entailments share words. Only for tasks of pairs; scikit-learn's defaults, but
    for C = 10, since the figures lie between 0 and 1.

    Source: the hypothesis of lexical overlap, McCoy et al., ACL 2019.
    """

    pairs_only = True

    def classifier(self) -> ClassifierMixin:
        """Return logistic regression."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=10.0)

    def prepare(self, test: TestTexts) -> np.ndarray:
        """Compute the figures of the test set, once per task."""
        key = "word overlap"
        if key not in test.scratch:
            test.scratch[key] = word_overlap(test.columns)
        return test.scratch[key]

    def represent(
        self, distilled: DistilledSet, test: TestTexts, prepared: np.ndarray
    ) -> tuple[np.ndarray, Callable[[Linear], np.ndarray]]:
        """Return the figures of the set's pairs."""
        columns = {name: distilled.columns[name] for name in test.columns}
        return word_overlap(columns), lambda fit: prepared @ fit.coef.T + fit.intercept
