"""A rate is picked by rows of the set that were held out, and by nothing of the test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import InputError
from benchmark.core.learner import LEARNERS, Learner, Outcome, Run, TestTexts
from evaluators.learning_rates import FOLDS, pick_rate, with_picked_rates

CLASSES = ("no", "yes")


def a_set(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    texts = [f"row{i} r{i} w{i} of {label}" for i, label in enumerate(labels)]
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
            if self.learning_rate > 1:
                yield Outcome(np.full((len(texts), 2), np.nan))
                continue
            truth = np.array([int(text[-1] == "1") for text in texts])
            logits = np.zeros((len(texts), 2))
            logits[np.arange(len(texts)), truth] = self.learning_rate - 0.5
            yield Outcome(logits)


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ((0.1, 0.9, 0.4), 0.9),
        ((0.7, 0.9, 0.8), 0.9),
        ((-1.0, 0.6), 0.6),
        ((0.1, -1.0), 0.1),
        ((2.0, 0.1), 0.1),
    ],
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
    assert all("row0 r0 w0 of 0" in trained_on for _, trained_on, _ in learner.seen)


def test_the_choice_is_the_sets_own():
    learner = Reader(rates=(0.6, 0.7), seen=[])
    folds = []
    for _ in range(2):
        learner.seen.clear()
        pick_rate(learner, a_set(6, 5), given(), {})
        folds.append([out for _, _, out in learner.seen])
    assert folds[0] == folds[1]


def test_a_row_and_its_edited_copies_are_held_out_together():
    originals = [[f"{word}{i}" for word in "abcdefghij"] for i in range(8)]
    texts = [
        " ".join([*row[:at], f"changed{at}", *row[at + 1 :]])
        for row in originals
        for at in range(9)
    ]
    labels = np.repeat([0, 1], 4 * 9)
    learner = Reader(rates=(0.6,), seen=[])
    pick_rate(learner, DistilledSet.of_texts({"text": texts}, labels, CLASSES), given(), {})
    assert len(learner.seen) == FOLDS
    for _, trained_on, out in learner.seen:
        whole = {text.split()[9][1:] for text in out}
        assert not whole & {text.split()[9][1:] for text in trained_on}
        assert len(out) == 2 * 9


def test_a_class_of_copies_alone_is_always_trained_on():
    copies = [f"one two three four five {i}" for i in range(9)]
    learner = Reader(rates=(0.6,), seen=[])
    of_copies = DistilledSet.of_texts({"text": [*copies, "a b"]}, [0] * 9 + [1], CLASSES)
    assert pick_rate(learner, of_copies, given(), {}) == 0.5
    assert not learner.seen


def test_one_rate_alone_is_taken_without_trials():
    learner = Reader(rates=(0.7,), seen=[])
    (outcome,) = with_picked_rates(learner, [Run(a_set(4, 4), 1)], given(), {})
    assert outcome.extra["learning_rate"] == 0.7
    assert len(learner.seen) == 1


def test_a_set_that_the_learner_refuses_fails_alone():
    learner = Reader(rates=(0.1, 0.9), seen=[])
    arrays = {"embeddings": np.zeros((2, 3, 4), np.float32)}
    of_embeddings = DistilledSet(CLASSES, np.array([0, 1]), arrays=arrays)
    runs = [Run(of_embeddings, 1), Run(a_set(4, 4), 1)]
    refused, trained = with_picked_rates(learner, runs, given(), {})
    assert refused.error == "embedding-level set"
    assert trained.extra["learning_rate"] == 0.9


def test_learners_train_at_the_rate_that_was_picked():
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


@pytest.mark.parametrize("name", ["text-to-text", "transformer-epochs", "text-cnn", "text-rnn"])
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("rates", "0+1e-4"), ("rates", (1e-4, -1e-5)), ("learning_rate", -1e-4),
        ("learning_rate", 0),
    ],
)  # fmt: skip
def test_rates_that_are_no_rates_are_input_errors(name, parameter, value):
    with pytest.raises(InputError, match=f"{name}: {parameter} "):
        LEARNERS.build(name, {"model": "t5-base", parameter: value})
    assert LEARNERS.build(name, {"model": "t5-base"}).rates == ()


@pytest.mark.parametrize("name", ["text-to-text", "transformer-epochs"])
def test_picked_rates_and_epochs_hold_at_any_size(name):
    plain = LEARNERS.build(name, {"model": "t5-base"})
    assert plain.training(2_400).steps == 3 * 300
    assert plain.training(2_400).learning_rate == plain.full_learning_rate
    picking = LEARNERS.build(name, {"model": "t5-base", "rates": (1e-5, 5e-3)})
    assert picking.training(2_400).steps == 20 * 300
    with pytest.raises(InputError, match=f"{name}: full_learning_rate is -1"):
        LEARNERS.build(name, {"model": "t5-base", "full_learning_rate": -1})
    with pytest.raises(InputError, match=f"{name}: full_epochs is 0"):
        LEARNERS.build(name, {"model": "t5-base", "full_epochs": 0})
