"""DaLLME's recipe on a real tiny model: the engines train by its schedule, the rate is the best."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.core.learner import LEARNERS, Run, TestTexts
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
