"""Made-up sets and test texts, and the scores that a tiny model gives to them."""

from __future__ import annotations

import numpy as np
from tiny_language_models import WORDS

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import Run, TestTexts
from evaluators.learners.in_context import InContext

CLASSES = ("negative", "positive")
MODEL = {"model": "tiny", "precision": "float32"}


def sentences(n, seed, low=1, high=12):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS[:-1], rng.integers(low, high))) for _ in range(n)]


def make_set(labels, classes=CLASSES, seed=0, **columns):
    columns = columns or {"sentence": sentences(len(labels), seed)}
    return DistilledSet.of_texts(columns, labels, classes)


def make_test(classes=CLASSES, **columns):
    columns = columns or {"sentence": sentences(14, 99)}
    return TestTexts(columns, tuple(classes), "f", lambda _: None, lambda *_: None)


def outcomes(folder, runs, test, **parameters):
    learner = InContext(**{**MODEL, **parameters})
    return list(learner.fit_predict(runs, test, {"tiny": folder}))


def scores_of(folder, distilled, test, seed=0, **parameters):
    (outcome,) = outcomes(folder, [Run(distilled, seed)], test, **parameters)
    assert outcome.error is None, outcome.error
    assert outcome.scores.shape == (len(test), len(test.classes))
    assert np.isfinite(outcome.scores).all()
    return outcome.scores
