"""A rate is picked by rows of the set that were held out, and by nothing of the test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import Learner, Outcome, Run, TestTexts
from evaluators.learning_rates import FOLDS, pick_rate

CLASSES = ("no", "yes")


def a_set(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    texts = [f"row {i} of {label}" for i, label in enumerate(labels)]
    return DistilledSet.of_texts({"text": texts}, labels, CLASSES)


def given(test_texts=("never", "seen")):
    return TestTexts({"text": list(test_texts)}, CLASSES, "t", lambda e: None, lambda e, s: None)


@dataclass(frozen=True)
class Reader(Learner):
    """A real, if simple, learner: right with a chance that its rate says; notes what it saw."""

    learning_rate: float = 0.5
    rates: tuple[float, ...] = (0.1, 0.9, 0.4)
    seen: tuple = ()

    def fit_predict(self, runs, test, models):
        for run in runs:
            texts = list(test.columns["text"])
            self.seen.append((self.learning_rate, set(run.distilled.columns["text"]), set(texts)))
            if self.learning_rate < 0:
                yield Outcome(None, error="diverged")
                continue
            truth = np.array([int(text[-1] == "1") for text in texts])
            logits = np.zeros((len(texts), 2))
            logits[np.arange(len(texts)), truth] = self.learning_rate - 0.5
            yield Outcome(logits)


@pytest.mark.parametrize(
    ("rates", "best"),
    [((0.1, 0.9, 0.4), 0.9), ((0.7, 0.9, 0.8), 0.9), ((-1.0, 0.6), 0.6), ((0.1, -1.0), 0.1)],
)
def test_the_best_rate_by_answers_then_by_probability(rates, best):
    learner = Reader(rates=rates, seen=[])
    assert pick_rate(learner, a_set(6, 5), given(), {}) == best


def test_each_row_is_held_out_once_and_never_trained_on_then():
    distilled, learner = a_set(6, 5), Reader(rates=(0.6,), seen=[])
    pick_rate(learner, distilled, given(), {})
    rows = set(distilled.columns["text"])
    assert len(learner.seen) == FOLDS
    held = [out for _, _, out in learner.seen]
    assert sum(map(len, held)) == len(rows)
    assert set.union(*held) == rows
    for _, trained_on, out in learner.seen:
        assert trained_on | out == rows
        assert not trained_on & out


def test_rows_alone_in_their_class_are_always_trained_on():
    learner = Reader(seen=[])
    assert pick_rate(learner, a_set(1, 1), given(), {}) == 0.5
    assert not learner.seen
    pick_rate(learner, a_set(1, 3), given(), {})
    assert all("row 0 of 0" in trained_on for _, trained_on, _ in learner.seen)


def test_the_choice_is_the_sets_own():
    learner = Reader(rates=(0.6, 0.7), seen=[])
    folds = []
    for _ in range(2):
        learner.seen.clear()
        pick_rate(learner, a_set(6, 5), given(), {})
        folds.append([out for _, _, out in learner.seen])
    assert folds[0] == folds[1]


def test_learners_train_at_the_rate_that_was_picked(tmp_path):
    from benchmark.core.learner import LEARNERS
    from evaluators.learning_rates import with_picked_rates

    learner = Reader(rates=(0.1, 0.9), seen=[])
    one, other = a_set(4, 4), a_set(4, 5)
    runs = [Run(one, 1), Run(one, 2), Run(other, 1)]
    found = list(with_picked_rates(learner, runs, given(["x 1", "y 0"]), {}))
    assert [outcome.extra["learning_rate"] for outcome in found] == [0.9] * 3
    assert [outcome.scores.argmax(1).tolist() for outcome in found] == [[1, 0]] * 3
    for name in ("text-to-text", "transformer-epochs"):
        built = LEARNERS.build(name, {"model": "t5-base", "rates": "1e-5+1e-4"})
        assert built.rates == (1e-5, 1e-4)
        assert built.params()["rates"] == [1e-5, 1e-4]
