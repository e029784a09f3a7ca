"""The TF-IDF learners beside scikit-learn's own, and their scores of made-up texts."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import Run, TestTexts
from evaluators.learners.tfidf import TfIdfLogisticRegression, TfIdfNaiveBayes, TfIdfSVM

PLAIN = {
    TfIdfLogisticRegression: LogisticRegression,
    TfIdfNaiveBayes: MultinomialNB,
    TfIdfSVM: lambda: LinearSVC(random_state=0),
}
every_learner = pytest.mark.parametrize("learner", PLAIN, ids=lambda cls: cls.__name__)
WORDS = [f"word{i}" for i in range(120)] + [
    "naïve",
    "日本語",
    "Σίσυφος",
    "İstanbul",
    "don't",
    "a1",
    "a",
    "I",
    "!",
    "🙂",
    "x_y",
    "12",
]


def random_texts(rng, n, words=WORDS, most=25):
    return [" ".join(rng.choice(words, rng.integers(1, most))) for _ in range(n)]


def make_set(texts, labels, n_classes, **more_columns):
    columns = {"text": texts, **more_columns}
    return DistilledSet.of_texts(columns, labels, [f"c{i}" for i in range(n_classes)])


def make_test(texts, n_classes, **more_columns):
    classes = tuple(f"c{i}" for i in range(n_classes))
    return TestTexts({"text": texts, **more_columns}, classes, "f", lambda _: None, lambda *_: None)


def outcome_of(learner, distilled, test):
    (outcome,) = learner().fit_predict([Run(distilled, 0)], test, {})
    assert outcome.error is None, outcome.error
    assert outcome.scores.shape == (len(test), len(test.classes))
    assert not np.isnan(outcome.scores).any()
    return outcome


def scores_of(learner, distilled, test):
    return outcome_of(learner, distilled, test).scores


def assert_equals_plain(learner, distilled, test):
    """Compare with scikit-learn's pipeline, fitted on the same joined texts."""

    def joined(columns):
        return [" ".join(parts) for parts in zip(*columns.values(), strict=True)]

    plain = make_pipeline(TfidfVectorizer(), PLAIN[learner]())
    plain.fit(joined(distilled.columns), distilled.labels)
    texts = joined(test.columns)
    if learner is TfIdfNaiveBayes:
        expected = plain[-1].predict_joint_log_proba(plain[0].transform(texts))
    else:
        expected = plain.decision_function(texts)
        if expected.ndim == 1:
            expected = np.stack([np.zeros(len(texts)), expected], axis=1)
    scores = scores_of(learner, distilled, test)
    np.testing.assert_allclose(scores[:, plain.classes_], expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(scores.argmax(axis=1), plain.predict(texts))
