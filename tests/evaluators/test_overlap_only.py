"""Overlap only: it solves what overlap solves and is blind to all else."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.availability import structural_mismatch
from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import Run, TestTexts, build_learner
from benchmark.core.method import METHODS
from benchmark.core.task import Task
from evaluators.word_overlap import half_scores, low_half, word_overlap

WORDS = np.array([f"word{number}" for number in range(200)])


def pairs(rows: int, seed: int) -> tuple[dict[str, list[str]], np.ndarray]:
    """Pairs of class 1 share six of eight words, those of class 0 one."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    first = [rng.choice(WORDS, 8, replace=False) for _ in range(rows)]
    second = []
    for words, label in zip(first, labels, strict=True):
        others = rng.choice(np.setdiff1d(WORDS, words), 8, replace=False)
        shared = 6 if label else 1
        second.append(rng.permutation([*words[:shared], *others[shared:]]))
    return {"a": [" ".join(w) for w in first], "b": [" ".join(w) for w in second]}, labels


def accuracy(train, test) -> float:
    texts = TestTexts(test[0], ("no", "yes"), "t", lambda _: None, lambda *_: None)
    distilled = DistilledSet.of_texts(train[0], train[1], ("no", "yes"))
    (outcome,) = build_learner("overlap-only").fit_predict([Run(distilled, 0)], texts, {})
    assert outcome.error is None
    return float((outcome.scores.argmax(axis=1) == test[1]).mean())


def test_it_learns_overlap_from_a_few_pairs() -> None:
    assert accuracy(pairs(10, 0), pairs(200, 1)) == 1


def test_it_is_blind_to_words() -> None:
    rng = np.random.default_rng(2)

    def told_by_words(rows: int):
        labels = np.arange(rows) % 2
        texts = [f"{'yes' if label else 'no'} {rng.choice(WORDS)}" for label in labels]
        return {"a": texts, "b": [f"other {rng.choice(WORDS)}" for _ in labels]}, labels

    assert 0.3 < accuracy(told_by_words(20), told_by_words(400)) < 0.7


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a b c", "c d", (1 / 4, 1 / 3, 1 / 2)),
        ("The film, the FILM!", "film the", (1, 1, 1)),
        ("a b", "c d", (0, 0, 0)),
        ("", "a", (0, 0, 0)),
    ],
)
def test_figures_are_shares_of_words(first, second, expected) -> None:
    np.testing.assert_allclose(word_overlap({"x": [first], "y": [second]})[0], expected)


def test_single_texts_are_a_structural_skip_and_no_gap() -> None:
    learner, method = build_learner("overlap-only"), METHODS.build("random")
    single = Task("t", "d", ("text",), "label", ("a", "b"))
    assert structural_mismatch(method, learner, single) == "single texts, no pairs"
    assert structural_mismatch(method, learner, Task("t", "d", ("x", "y"), "label", ("a",))) == ""
    assert structural_mismatch(method, build_learner("tfidf-lr"), single) == ""
    with pytest.raises(ValueError, match="the two texts of a pair"):
        word_overlap({"text": ["a"]})


def test_halves_are_of_few_and_many_words_in_common() -> None:
    columns = {"a": ["x y", "x y", "x y", "x y", "x"], "b": ["x y", "z", "x", "x z", "x"]}
    low = low_half(columns)
    assert low.tolist() == [False, True, False, True, False]
    scores = half_scores(np.array([0, 1, 0, 1, 1]), np.array([0, 1, 1, 0, 1]), low)
    assert scores == {"low_overlap": 0.5, "high_overlap": pytest.approx(2 / 3)}
    assert low_half({"a": ["x", "x"], "b": ["x", "x"]}).tolist() == [True, False]
    assert list(half_scores(np.array([0]), np.array([0]), np.array([False]))) == ["high_overlap"]
