"""Runs of TF-IDF learners fail alone, repeat, share the counted test texts and use one thread."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tfidf_scores import (
    PLAIN,
    every_learner,
    make_set,
    make_test,
    outcome_of,
    random_texts,
    scores_of,
)
from threadpoolctl import threadpool_info

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import LEARNERS, Run
from evaluators.learners.tfidf import TfIdfLogisticRegression, WordCounts
from evaluators.linear import _thread_pools


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
