"""TF-IDF learners: equal to scikit-learn's pipeline, and defined where scikit-learn refuses."""

import warnings

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_info

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import LEARNERS, Run, TestTexts
from evaluators.learners.tfidf import (
    TfIdfLogisticRegression,
    TfIdfNaiveBayes,
    TfIdfSVM,
    WordCounts,
)
from evaluators.linear import _thread_pools

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


@every_learner
def test_a_failed_run_leaves_the_others_alone(learner):
    rng = np.random.default_rng(0)
    good = [make_set(random_texts(rng, 8), [0, 1] * 4, 2) for _ in range(2)]
    bad = DistilledSet.of_texts({"other": ["x1", "x2"]}, [0, 1], ["c0", "c1"])
    test = make_test(random_texts(rng, 20), 2)
    runs = [Run(good[0], 0), Run(bad, 1), Run(good[1], 2)]
    first, failed, last = learner().fit_predict(runs, test, {})
    assert failed.scores is None
    assert "text" in failed.error
    assert first.error is None
    assert last.error is None
    assert first.train_seconds > 0
    assert first.predict_seconds > 0
    np.testing.assert_array_equal(last.scores, scores_of(learner, good[1], test))


@every_learner
def test_repeats_bit_for_bit_whatever_the_seed(learner):
    rng = np.random.default_rng(0)
    distilled = make_set(random_texts(rng, 30), np.arange(30) % 3, 3)
    texts = random_texts(rng, 40)
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    runs = [Run(distilled, 0), Run(distilled, 7)]
    first, second = learner().fit_predict(runs, make_test(texts, 3), {})
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.scores, scores_of(learner, distilled, make_test(texts, 3)))
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_the_test_set_is_counted_once(monkeypatch):
    calls = []
    real = WordCounts.of
    monkeypatch.setattr(WordCounts, "of", lambda texts: calls.append(len(texts)) or real(texts))
    rng = np.random.default_rng(0)
    test = make_test(random_texts(rng, 20), 2)
    for learner in PLAIN:
        runs = [Run(make_set(random_texts(rng, 4), [0, 1, 0, 1], 2), 0) for _ in range(3)]
        assert all(outcome.error is None for outcome in learner().fit_predict(runs, test, {}))
    assert calls == [20]


def test_lack_of_convergence_is_counted_and_not_warned_of(monkeypatch):
    rng = np.random.default_rng(0)
    distilled = make_set(random_texts(rng, 30), np.arange(30) % 3, 3)
    test = make_test(random_texts(rng, 5), 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert outcome_of(TfIdfLogisticRegression, distilled, test).extra == {}
        monkeypatch.setattr(
            TfIdfLogisticRegression, "classifier", lambda self: LogisticRegression(max_iter=1)
        )
        extra = outcome_of(TfIdfLogisticRegression, distilled, test).extra
    assert extra == {"not_converged": 1.0}


def test_trains_on_one_thread(monkeypatch):
    seen = []

    class Spy(LogisticRegression):
        def fit(self, *args, **kwargs):
            seen.extend(pool["num_threads"] for pool in threadpool_info())
            return super().fit(*args, **kwargs)

    monkeypatch.setattr(TfIdfLogisticRegression, "classifier", lambda self: Spy())
    _thread_pools.cache_clear()  # another test may have loaded torch since
    before = [pool["num_threads"] for pool in threadpool_info()]
    outcome_of(TfIdfLogisticRegression, make_set(["aa", "bb"], [0, 1], 2), make_test(["aa"], 2))
    assert seen
    assert set(seen) == {1}
    assert [pool["num_threads"] for pool in threadpool_info()] == before


@every_learner
def test_refuses_what_it_cannot_use(learner):
    embedded = DistilledSet(("c0", "c1"), [0, 1], arrays={"x": np.zeros((2, 3))})
    assert learner().refuses(embedded) == "embedding-level set"
    free = DistilledSet(
        ("c0", "c1"), [[1.5, -0.5]], {"text": ["aa"]}, recipe={"label_type": "unrestricted"}
    )
    assert "negative" in learner().refuses(free)
    assert learner().refuses(make_set(["aa", "bb"], [0, 1], 2)) is None


@pytest.mark.parametrize("name", ["tfidf-lr", "tfidf-nb", "tfidf-svm"])
def test_is_registered(name):
    learner = LEARNERS.build(name)
    assert learner.name == name
    assert learner.deterministic
    assert learner.params() == {}
    assert learner.encoders == ()
    assert learner.models == ()
