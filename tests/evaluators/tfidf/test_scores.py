"""Scores of TF-IDF learners: those of scikit-learn's pipeline, and defined where it refuses."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from tfidf_scores import (
    PLAIN,
    WORDS,
    assert_equals_plain,
    every_learner,
    make_set,
    make_test,
    random_texts,
    scores_of,
)

from evaluators.learners.tfidf import TfIdfNaiveBayes


@every_learner
@pytest.mark.parametrize("n_classes", [2, 3, 77])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_pipeline(learner, n_classes, seed):
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(n_classes), 3)
    distilled = make_set(random_texts(rng, len(labels)), labels, n_classes)
    unknown = ["nothing known here", "a I !", "", "日本語 日本語 日本語 new"]
    more = [f"unseen{i}" for i in range(50)]
    test = make_test(random_texts(rng, 60, WORDS + more) + unknown, n_classes)
    assert_equals_plain(learner, distilled, test)


@every_learner
def test_pairs_are_joined_with_one_space(learner):
    rng = np.random.default_rng(0)
    pairs = {"second": random_texts(rng, 20)}
    distilled = make_set(random_texts(rng, 20), np.arange(20) % 3, 3, **pairs)
    test = make_test(random_texts(rng, 30), 3, second=random_texts(rng, 30))
    assert_equals_plain(learner, distilled, test)
    # without the space, "ab" + "cd" would be one unknown word
    distilled = make_set(["ab", "zz"], [0, 1], 2, second=["cd", "yy"])
    scores = scores_of(learner, distilled, make_test(["ab", "zz"], 2, second=["cd", "yy"]))
    assert scores.argmax(axis=1).tolist() == [0, 1]


@every_learner
def test_long_rows(learner):
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(3000)]
    texts = [" ".join(rng.choice(words, 5000)) for _ in range(6)]
    distilled = make_set(texts[:4], [0, 1, 0, 1], 2)
    assert_equals_plain(learner, distilled, make_test([*texts[3:], "w1 " * 5000], 2))


@every_learner
@pytest.mark.parametrize("present", [[1, 3], [4, 0, 2]])
def test_absent_classes_are_never_predicted(learner, present):
    rng = np.random.default_rng(0)
    labels = np.tile(present, 4)
    distilled = make_set(random_texts(rng, len(labels)), labels, 5)
    test = make_test([*random_texts(rng, 40), "unknown"], 5)
    absent = np.setdiff1d(np.arange(5), present)
    scores = scores_of(learner, distilled, test)
    assert np.isneginf(scores[:, absent]).all()
    assert np.isfinite(scores[:, present]).all()
    if len(present) > 2:
        assert_equals_plain(learner, distilled, test)
    else:  # the lower class has score 0, the higher one the decision function
        two = make_set(distilled.columns["text"], (labels == present[1]).astype(int), 2)
        expected = scores_of(learner, two, make_test(test.columns["text"], 2))
        np.testing.assert_array_equal(scores[:, present], expected)


@every_learner
@pytest.mark.parametrize("texts", [["one row"], ["some words", "more words", "words"], ["!", "?"]])
def test_one_class_is_predicted_always(learner, texts):
    scores = scores_of(
        learner, make_set(texts, [1] * len(texts), 3), make_test(["words", "one", "", "zz"], 3)
    )
    assert scores.argmax(axis=1).tolist() == [1, 1, 1, 1]
    assert np.isneginf(scores[:, [0, 2]]).all()


@every_learner
@pytest.mark.parametrize(
    ("labels", "prediction"),
    [
        ([2, 1, 2, 1], 1),  # a tie goes to the lowest class
        ([2, 1, 2, 0], 2),
        (np.array([[0, 0.1, 0.9], [0.3, 0.3, 0.4], [0, 1, 0], [0.5, 0.5, 0]]), 1),
    ],
)
def test_texts_without_words_give_the_prior(learner, labels, prediction):
    distilled = make_set(["!", "a", "? !", "I"], labels, 3)
    scores = scores_of(learner, distilled, make_test(["some words", "!"], 3))
    assert scores.argmax(axis=1).tolist() == [prediction] * 2
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1)


@every_learner
def test_a_test_set_without_words(learner):
    rng = np.random.default_rng(0)
    distilled = make_set(random_texts(rng, 6), [0, 1, 2] * 2, 3)
    assert_equals_plain(learner, distilled, make_test(["!", "a", ""], 3))


@every_learner
def test_soft_labels_are_sample_weights(learner):
    rng = np.random.default_rng(0)
    texts = random_texts(rng, 12)
    labels = rng.dirichlet(np.ones(3), 12).astype(np.float32)
    labels[0] = [0, 1, 0]
    test = make_test(random_texts(rng, 30), 3)
    vectorizer = TfidfVectorizer().fit(texts)  # the idf counts each text once
    repeated = vectorizer.transform(np.repeat(texts, 3))
    keep = labels.ravel() > 0
    plain = PLAIN[learner]().fit(
        repeated[keep], np.tile(np.arange(3), 12)[keep], labels.ravel()[keep].astype(float)
    )
    rows = vectorizer.transform(test.columns["text"])
    expected = (
        plain.predict_joint_log_proba(rows)
        if learner is TfIdfNaiveBayes
        else plain.decision_function(rows)
    )
    scores = scores_of(learner, make_set(texts, labels, 3), test)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-9)


@every_learner
@pytest.mark.parametrize("n_classes", [2, 4])
def test_certain_soft_labels_are_hard_labels(learner, n_classes):
    rng = np.random.default_rng(0)
    texts, labels = random_texts(rng, 12), np.arange(12) % n_classes
    test = make_test(random_texts(rng, 30), n_classes)
    soft = make_set(texts, np.eye(n_classes)[labels], n_classes)
    hard = make_set(texts, labels, n_classes)
    np.testing.assert_allclose(
        scores_of(learner, soft, test), scores_of(learner, hard, test), atol=1e-6
    )


@every_learner
def test_one_row_with_a_soft_label(learner):
    distilled = make_set(["some words"], np.array([[0.1, 0.7, 0.2]]), 3)
    scores = scores_of(learner, distilled, make_test(["words", "unknown"], 3))
    assert scores.argmax(axis=1).tolist() == [1, 1]
