"""A teacher judges labels of rows that it has not seen: right, wrong, copied and new ones."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.label_agreement import LabelTeachers, NaiveBayes

GOOD, BAD = ["fine", "warm", "funny", "great"], ["dull", "flat", "weak", "poor"]


def made(rows: int, seed: int) -> tuple[dict[str, list[str]], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=rows)
    texts = [
        f"{rng.choice(GOOD if label else BAD)} {rng.choice(GOOD if label else BAD)} film {number}"
        for number, label in enumerate(labels)
    ]
    return {"text": texts}, labels


@pytest.fixture(scope="module")
def teachers() -> LabelTeachers:
    return LabelTeachers(*made(400, 0))


def test_right_labels_agree_and_wrong_ones_do_not(teachers) -> None:
    columns, labels = made(60, 1)
    assert teachers.agreement(columns, labels) == 1
    assert teachers.agreement(columns, 1 - labels) == 0
    half = np.where(np.arange(60) < 30, labels, 1 - labels)
    assert teachers.agreement(columns, half) == 0.5


def test_a_copied_row_is_not_judged_by_a_teacher_that_has_seen_it() -> None:
    # A text of words of its own, labelled at random: who has seen it knows its label.
    rng = np.random.default_rng(2)
    columns = {"text": [f"word{number} other{number}" for number in range(600)]}
    labels = rng.integers(2, size=600)
    agreement = LabelTeachers(columns, labels).agreement(columns, labels)
    assert 0.4 < agreement < 0.6


def test_the_order_of_the_pool_and_the_split_into_columns_do_not_matter(teachers) -> None:
    columns, labels = made(400, 0)
    order = np.random.default_rng(3).permutation(400)
    pairs = {
        "first": [columns["text"][row].split(" ", 1)[0] for row in order],
        "second": [columns["text"][row].split(" ", 1)[1] for row in order],
    }
    other = LabelTeachers(pairs, labels[order])
    questions, answers = made(50, 4)
    mixed = {"text": [f"{a} {b}" for a, b in zip(GOOD * 5, BAD * 5, strict=True)]}
    assert other.agreement(questions, answers) == teachers.agreement(questions, answers)
    assert other.agreement(mixed, np.ones(20)) == teachers.agreement(mixed, np.ones(20))


@pytest.mark.parametrize(
    ("texts", "labels"), [(["a"], [0]), (["??", "!!"] * 9, [0, 1] * 9), (["a b"] * 8, [1] * 8)]
)
def test_a_pool_that_teaches_nothing_has_no_agreement(texts, labels) -> None:
    teachers = LabelTeachers({"text": texts}, np.array(labels))
    assert np.isnan(teachers.agreement({"text": ["a b"]}, np.array([0])))


def test_the_teacher_is_scikit_learns_naive_bayes() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    rng = np.random.default_rng(5)
    words = [f"w{number}" for number in range(60)]
    labels = rng.integers(3, size=200)
    texts = [" ".join(rng.choice(words[label * 15 : label * 15 + 30], 6)) for label in labels]
    new = [" ".join(rng.choice(words, 5)) for _ in range(100)] + ["unknown"]
    counter = CountVectorizer(token_pattern=r"\S+")
    theirs = MultinomialNB().fit(counter.fit_transform(texts), labels)
    ours = NaiveBayes.of([text.split() for text in texts], labels)
    expected = theirs.predict(counter.transform(new))
    assert ours.predict([text.split() for text in new]).tolist() == expected.tolist()
    assert NaiveBayes.of([["a"]], np.array([1])) is None
