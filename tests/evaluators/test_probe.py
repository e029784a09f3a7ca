"""The frozen-feature probe: scikit-learn's logistic regression, defined for every set."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import InputError
from benchmark.core.learner import LEARNERS, Run, TestTexts
from evaluators.learners import probe
from evaluators.learners.probe import Probe

WIDTH = 16


def random_features(rng, n):
    features = rng.standard_normal((n, WIDTH)).astype(np.float32)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def make_set(labels, n_classes):
    texts = [f"row {i}" for i in range(len(labels))]
    return DistilledSet.of_texts({"text": texts}, labels, [f"c{i}" for i in range(n_classes)])


def make_test(test_features, set_features, n_classes):
    """Test texts whose features are given; `set_features` belong to any set."""
    asked = []

    def features(encoder):
        asked.append(encoder)
        return test_features

    def embed_set(encoder, distilled):
        asked.append(encoder)
        return set_features[: len(distilled)]

    test = TestTexts(
        {"text": [f"test {i}" for i in range(len(test_features))]},
        tuple(f"c{i}" for i in range(n_classes)),
        "f",
        features,
        embed_set,
    )
    return test, asked


def outcome_of(distilled, test, learner=None):
    (outcome,) = (learner or Probe()).fit_predict([Run(distilled, 0)], test, {})
    assert outcome.error is None, outcome.error
    assert outcome.scores.shape == (len(test), len(test.classes))
    assert not np.isnan(outcome.scores).any()
    return outcome


@pytest.mark.parametrize("n_classes", [2, 3, 77])
@pytest.mark.parametrize("C", [1.0, 0.1])
def test_equals_logistic_regression(monkeypatch, n_classes, C):
    monkeypatch.setattr(probe, "ROWS_AT_ONCE", 7)  # more than one block, the last one short
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(n_classes), 4)
    rows, queries = random_features(rng, len(labels)), random_features(rng, 40)
    test, asked = make_test(queries, rows, n_classes)
    plain = LogisticRegression(C=C, max_iter=1000).fit(rows.astype(float), labels)
    outcome = outcome_of(make_set(labels, n_classes), test, Probe(encoder="some", C=C))
    expected = plain.decision_function(queries.astype(float))
    actual = outcome.scores[:, 1] if n_classes == 2 else outcome.scores
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(outcome.scores.argmax(axis=1), plain.predict(queries))
    assert set(asked) == {"some"}
    assert outcome.train_seconds > 0
    assert outcome.predict_seconds > 0


@pytest.mark.parametrize("labels", [[1], [1, 1, 1], [[0.0, 1.0, 0.0]] * 2])
def test_one_class_is_predicted_always(labels):
    rng = np.random.default_rng(0)
    test, _ = make_test(random_features(rng, 10), random_features(rng, 3), 3)
    scores = outcome_of(make_set(np.array(labels), 3), test).scores
    assert scores.argmax(axis=1).tolist() == [1] * 10


def test_absent_classes_are_never_predicted():
    rng = np.random.default_rng(0)
    test, _ = make_test(random_features(rng, 50), random_features(rng, 12), 6)
    scores = outcome_of(make_set(np.tile([4, 1, 3], 4), 6), test).scores
    assert np.isneginf(scores[:, [0, 2, 5]]).all()
    assert set(scores.argmax(axis=1)) == {1, 3, 4}


def test_soft_labels_are_sample_weights():
    rng = np.random.default_rng(0)
    rows, queries = random_features(rng, 12), random_features(rng, 30)
    test, _ = make_test(queries, rows, 3)
    labels = rng.dirichlet(np.ones(3), 12).astype(np.float32)
    plain = LogisticRegression(max_iter=1000).fit(
        np.repeat(rows, 3, axis=0).astype(float),
        np.tile(np.arange(3), 12),
        labels.ravel().astype(float),
    )
    scores = outcome_of(make_set(labels, 3), test).scores
    np.testing.assert_allclose(scores, plain.decision_function(queries), rtol=0, atol=1e-6)
    certain = outcome_of(make_set(np.eye(3)[np.arange(12) % 3], 3), test).scores
    hard = outcome_of(make_set(np.arange(12) % 3, 3), test).scores
    np.testing.assert_allclose(certain, hard, atol=1e-3)


def test_a_failed_run_leaves_the_others_alone():
    rng = np.random.default_rng(0)
    rows = random_features(rng, 9)
    rows[8] = np.nan  # only the nine-row set reaches it
    test, _ = make_test(random_features(rng, 20), rows, 2)
    good, bad = make_set(np.arange(8) % 2, 2), make_set(np.arange(9) % 2, 2)
    outcomes = list(Probe().fit_predict([Run(good, 0), Run(bad, 1), Run(good, 2)], test, {}))
    assert outcomes[1].scores is None
    assert "NaN" in outcomes[1].error
    assert outcomes[0].error is None
    np.testing.assert_array_equal(outcomes[0].scores, outcomes[2].scores)


def test_an_encoder_that_fails_is_an_error_of_each_run():
    def missing(*_):
        raise OSError("no such encoder")

    test = TestTexts({"text": ["x"]}, ("c0", "c1"), "f", missing, missing)
    outcomes = list(Probe().fit_predict([Run(make_set([0, 1], 2), 0)] * 2, test, {}))
    assert [outcome.error for outcome in outcomes] == ["OSError: no such encoder"] * 2


def test_features_are_read_and_not_written():
    rng = np.random.default_rng(0)
    queries, rows = random_features(rng, 20), random_features(rng, 8)
    queries.setflags(write=False)
    rows.setflags(write=False)
    test, _ = make_test(queries, rows, 2)
    outcome_of(make_set(np.arange(8) % 2, 2), test)


def test_lack_of_convergence_is_counted_and_not_warned_of(monkeypatch):
    rng = np.random.default_rng(0)
    test, _ = make_test(random_features(rng, 5), random_features(rng, 30), 3)
    distilled = make_set(np.arange(30) % 3, 3)
    monkeypatch.setattr(Probe, "classifier", lambda self: LogisticRegression(max_iter=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert outcome_of(distilled, test).extra == {"not_converged": 1.0}


def test_is_registered_with_parameters():
    learner = LEARNERS.build("probe", {"encoder": "bert-base", "C": "0.5"})
    assert learner.params() == {"encoder": "bert-base", "C": 0.5}
    assert learner.encoders == ("bert-base",)
    assert learner.deterministic
    assert LEARNERS.build("probe").params() == {"encoder": "minilm", "C": 1.0}
    for bad in (0, -1, "nan", "inf"):
        with pytest.raises(InputError, match=r"must be positive|is no number"):
            LEARNERS.build("probe", {"C": bad})


def test_refuses_an_embedding_level_set():
    embedded = DistilledSet(("c0", "c1"), [0, 1], arrays={"x": np.zeros((2, 3))})
    assert Probe().refuses(embedded) == "embedding-level set"
