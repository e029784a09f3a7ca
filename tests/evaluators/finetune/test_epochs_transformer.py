"""DaLLME's recipe on a real tiny model: the engines train by its schedule, the rate is the best."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.core.learner import LEARNERS, Run, TestTexts
from benchmark.core.native import NativeRecipe, embedding_set
from benchmark.core.seeding import numpy_generator

CLASSES = ("bad", "good")


@pytest.fixture
def texts(sentences):
    columns = {"text": sentences(9, numpy_generator(1))}
    return TestTexts(columns, CLASSES, "t", lambda e: None, lambda e, s: None)


def scores(checkpoints, texts, runs, kind="transformer-epochs", **params):
    learner = LEARNERS.build(kind, {"model": "tiny", "precision": "float32", **params})
    return list(learner.fit_predict(runs, texts, {"tiny": checkpoints["bert"]}))


def test_both_engines_follow_the_linear_schedule(checkpoints, texts, set_of):
    runs = [Run(set_of(0), 1)]
    common = {"epochs": 4, "dropout": 0.0, "learning_rate": 1e-2}
    auto, padded = (
        scores(checkpoints, texts, runs, engine=engine, **common)[0].scores
        for engine in ("auto", "padded")
    )
    # Rounding, 1e-6 as a rule: Adam's first steps follow the sign of gradients near zero, and
    # 1.5e-4 was seen once. Another schedule ends 3e-2 away.
    np.testing.assert_allclose(auto, padded, atol=1e-3)
    # DiLM's schedule for as many steps on the same batches ends elsewhere
    common = {"steps": 4, "dropout": 0.0, "learning_rate": 1e-2, "warmup": 0.0, "batch_size": 8}
    cosine = scores(checkpoints, texts, runs, kind="transformer", **common)[0].scores
    assert np.abs(cosine - auto).max() > 1e-2


def test_the_rate_that_was_picked_is_that_of_the_training(checkpoints, texts, set_of):
    runs = [Run(set_of(0), 1), Run(set_of(0), 2)]
    found = scores(checkpoints, texts, runs, epochs=2, rates=(1e-3, 1e-8))
    rates = {outcome.extra["learning_rate"] for outcome in found}
    assert len(rates) == 1
    plain = scores(checkpoints, texts, runs, epochs=2, learning_rate=rates.pop())
    for a, b in zip(found, plain, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)


def test_the_picked_rate_holds_for_a_set_of_any_size(checkpoints, texts, set_of):
    runs = [Run(set_of(0), 1)]
    common = {"epochs": 2, "dropout": 0.0}
    (found,) = scores(checkpoints, texts, runs, rates=(1e-2, 1e-3), full_threshold=4, **common)
    rate = found.extra["learning_rate"]
    (plain,) = scores(checkpoints, texts, runs, learning_rate=rate, **common)
    np.testing.assert_allclose(found.scores, plain.scores, atol=1e-5)


def test_a_set_of_embeddings_brings_its_own_rates(checkpoints, texts):
    rng = numpy_generator(0)
    recipe = NativeRecipe("tiny", ((0, 1), (2, 3)), np.full(2, 1e-2, np.float32))
    embeddings = rng.normal(size=(4, 6, 32)).astype(np.float32)
    made = embedding_set(embeddings, np.array([0, 1, 0, 1]), CLASSES, recipe)
    runs = [Run(made, 1)]
    (found,) = scores(checkpoints, texts, runs, rates=(1e-2, 1e-3))
    (plain,) = scores(checkpoints, texts, runs)
    assert found.error is None
    np.testing.assert_array_equal(found.scores, plain.scores)
    assert "learning_rate" not in found.extra
    (aside,) = scores(checkpoints, texts, runs, rates=(1e-2, 1e-3), native=False)
    assert aside.error == "embedding-level set, no rows of which can be held out to pick from rates"
