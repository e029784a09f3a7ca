"""Linear classifiers for all classes of a task, from hard or soft labels.

Whatever classes a set lacks, `fit_linear` returns coefficients for every class of the task, and
`LinearLearner` trains and times one run after the other, so that a run never depends on its
neighbours.
"""

from __future__ import annotations

import functools
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.effort import LOADING, Effort
from benchmark.core.learner import Learner, Outcome, Run, TestTexts

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin
    from threadpoolctl import ThreadpoolController


@dataclass(frozen=True)
class Linear:
    """A fitted classifier whose scores are `features @ coef.T + intercept`.

    Attributes
    ----------
    coef : shape (C, d).
    intercept : shape (C,); -inf for a class that the set does not have, so it never wins.
    converged : False if the solver stopped at its limit of iterations.
    """

    coef: np.ndarray
    intercept: np.ndarray
    converged: bool = True


def fit_linear(
    classifier: ClassifierMixin, features: Any, labels: np.ndarray, n_classes: int
) -> Linear:
    """Fit scikit-learn's `classifier` and return its coefficients for all `n_classes` classes.

    Parameters
    ----------
    features : dense or sparse, shape (n, d).
    labels : class indices (n,), or class weights (n, C): each row is then given once per class,
        weighted, which is the cross-entropy with the soft label.

    With two classes the first one's score is 0 and the second one's is the decision function.
    Where there is nothing to tell apart (one class) or to tell it by (d = 0), the scores are the
    logarithm of the class prior; scikit-learn refuses these cases.
    """
    rows, targets, weights = _weighted_rows(labels)
    mass = np.bincount(targets, weights, minlength=n_classes)
    coef = np.zeros((n_classes, features.shape[1]))
    if np.count_nonzero(mass) < 2 or features.shape[1] == 0:
        with np.errstate(divide="ignore"):
            return Linear(coef, np.log(mass / mass.sum()))
    if weights is not None:
        features = features[rows]
    converged = _fit(classifier, features, targets, weights)
    intercept = np.full(n_classes, -np.inf)
    present = classifier.classes_
    if hasattr(classifier, "feature_log_prob_"):  # naive Bayes
        coef[present], intercept[present] = (
            classifier.feature_log_prob_,
            classifier.class_log_prior_,
        )
    elif len(present) == 2:
        coef[present[1]], intercept[present] = classifier.coef_[0], (0, classifier.intercept_[0])
    else:
        coef[present], intercept[present] = classifier.coef_, classifier.intercept_
    return Linear(coef, intercept, converged)


def _weighted_rows(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Split labels into (row, class, weight); hard labels have no weights."""
    if labels.ndim == 1:
        return np.arange(len(labels)), labels, None
    if not (np.isfinite(labels).all() and labels.min() >= 0 and labels.max() > 0):
        raise ValueError("soft labels are negative, not finite or all zero")
    rows, targets = np.nonzero(labels)
    return rows, targets, labels[rows, targets].astype(np.float64)


def _fit(
    classifier: ClassifierMixin, features: Any, targets: np.ndarray, weights: np.ndarray | None
) -> bool:
    """Fit; return whether the solver converged instead of warning about it."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        classifier.fit(features, targets, sample_weight=weights)
    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return converged


class LinearLearner(Learner):
    """A linear classifier on a fixed representation of texts.

    Results do not depend on the number of threads: numerical work is done on one. The limit is
    the process's, so an executor that trains in several threads at once must set it itself.
    What is computed once per task (`prepare`) is in no run's seconds.
    """

    deterministic = True

    @abstractmethod
    def classifier(self) -> ClassifierMixin:
        """Return an unfitted scikit-learn classifier."""

    @abstractmethod
    def prepare(self, test: TestTexts) -> Any:
        """Return what all runs of the task share, kept so that only the first call costs."""

    @abstractmethod
    def represent(
        self, distilled: DistilledSet, test: TestTexts, prepared: Any
    ) -> tuple[Any, Callable[[Linear], np.ndarray]]:
        """Return the set's features (n, d), and what turns a fit into scores (n_test, C)."""

    def effort(self, rows: np.ndarray, test: np.ndarray, n_classes: int) -> Effort:
        """Coefficients touched, over a fixed cost that a small set does not exceed."""
        read = self.weighs(rows)
        return Effort(15_000 + read * n_classes, 15_000 + test.sum(), LOADING + test.sum())

    def weighs(self, rows: np.ndarray) -> float:
        """How many non-zero features the set has, roughly."""
        return float(rows.sum())

    def refuses(self, distilled: DistilledSet) -> str | None:
        """Refuse, besides, soft labels that cannot be weights of examples."""
        if distilled.is_soft and distilled.labels.min() < 0:
            return "soft labels with negative values"
        return super().refuses(distilled)

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        """Train on each set with scikit-learn and score the test set."""
        for run in runs:
            try:
                outcome = self._outcome(run.distilled, test)
            except Exception as error:  # the other runs go on
                outcome = Outcome(None, error=f"{type(error).__name__}: {error}")
            yield outcome

    def _outcome(self, distilled: DistilledSet, test: TestTexts) -> Outcome:
        prepared = self.prepare(test)
        classifier = self.classifier()
        with _thread_pools().limit(limits=1):
            start = time.perf_counter()
            features, score = self.represent(distilled, test, prepared)
            linear = fit_linear(classifier, features, distilled.labels, len(test.classes))
            trained = time.perf_counter()
            scores = score(linear)
            done = time.perf_counter()
        extra = {} if linear.converged else {"not_converged": 1.0}
        return Outcome(scores, trained - start, done - trained, extra=extra)


@functools.cache
def _thread_pools() -> ThreadpoolController:
    """Thread pools of the libraries that are loaded by now; finding them takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
