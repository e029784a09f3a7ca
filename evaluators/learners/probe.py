"""Frozen-feature probe: logistic regression on sentence embeddings that are not trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import TestTexts, register_learner
from benchmark.core.parameters import require_positive
from evaluators.linear import Linear, LinearLearner

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

ROWS_AT_ONCE = 8192


@register_learner("probe")
class Probe(LinearLearner):
    """Logistic regression on an encoder's features (L2 penalty 1/C, at most 1,000 iterations).

    Recipe: features as the encoder's catalogue entry says (MiniLM: mean of the last layer, unit
    length), computed once and never trained; scikit-learn's `LogisticRegression` (lbfgs, an
    intercept without penalty) in float64. Nothing is tuned; soft labels are weights of rows.

    Source: the linear classifier probe of Alain and Bengio, "Understanding intermediate layers
    using linear classifier probes", ICLR workshop 2017. No text distillation paper reports it; it
    is this benchmark's learner between bags of words and fine-tuning.

    Parameters
    ----------
    encoder : name of the encoder; its test features are computed once per task and cached.
    C : inverse strength of the penalty, as scikit-learn's.
    """

    encoder: str = "minilm"
    C: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "C")

    def weighs(self, rows: np.ndarray) -> float:
        """Features are dense: a row weighs the same however long its text."""
        return 30.0 * len(rows)

    def classifier(self) -> ClassifierMixin:
        """Return the logistic regression."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=self.C, max_iter=1000)

    def prepare(self, test: TestTexts) -> np.ndarray:
        """Return the test features."""
        return test.features(self.encoder)

    def represent(
        self, distilled: DistilledSet, test: TestTexts, prepared: np.ndarray
    ) -> tuple[np.ndarray, Callable[[Linear], np.ndarray]]:
        """Embed the set."""
        features = np.asarray(test.embed_set(self.encoder, distilled), dtype=np.float64)
        return features, partial(_scores, prepared)


def _scores(features: np.ndarray, linear: Linear) -> np.ndarray:
    """Multiply in float64, a block of rows at a time: features may be memory-mapped float32."""
    scores = np.empty((len(features), len(linear.intercept)))
    for start in range(0, len(features), ROWS_AT_ONCE):
        block = np.asarray(features[start : start + ROWS_AT_ONCE], dtype=np.float64)
        scores[start : start + len(block)] = block @ linear.coef.T + linear.intercept
    return scores
