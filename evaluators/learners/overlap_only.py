"""Overlap only: a classifier of pairs that sees how many words the two texts share, no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import TestTexts, register_learner
from evaluators.audits import normalise
from evaluators.linear import Linear, LinearLearner

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
