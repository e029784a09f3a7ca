"""TextCNN and TextRNN pick a rate where they are given some; without any, nothing has changed."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from tiny_vectors import DIMENSION, review, vectors_of_words, write_vectors  # noqa: E402

from benchmark.core.distilled import DistilledSet  # noqa: E402
from benchmark.core.keys import run_key  # noqa: E402
from benchmark.core.learner import LEARNERS, Run, TestTexts, build_learner  # noqa: E402
from benchmark.core.native import NativeRecipe, embedding_set  # noqa: E402
from benchmark.core.seeding import numpy_generator  # noqa: E402

CLASSES = ("c0", "c1")
SMALL = {
    "text-cnn": {"model": "tiny", "filters": 7, "widths": (3, 4)},
    "text-rnn": {"model": "tiny", "hidden": 5},
}
LEARNER = pytest.mark.parametrize("name", SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_vectors(tmp_path_factory.mktemp("vectors"), vectors_of_words())


def a_set(seed, n):
    rng, labels = numpy_generator(seed), np.arange(n) % 2
    return DistilledSet.of_texts(
        {"text": [review(rng, int(label)) for label in labels]}, labels, CLASSES
    )


def outcomes_of(name, runs, folder, **params):
    rng = numpy_generator(9)
    texts = {"text": [review(rng, i % 2) for i in range(20)]}
    test = TestTexts(texts, CLASSES, "f", lambda _: None, lambda *_: None)
    learner = LEARNERS.build(name, {**SMALL[name], "epochs": 3, **params})
    return list(learner.fit_predict(runs, test, {"tiny": folder}))


@LEARNER
def test_it_trains_at_the_rate_that_it_picked(name, folder):
    runs = [Run(a_set(1, 10), 0), Run(a_set(1, 10), 1), Run(a_set(2, 6), 0)]
    found = outcomes_of(name, runs, folder, rates=(1e-2, 1e-9))
    for run, outcome in zip(runs, found, strict=True):
        rate = outcome.extra["learning_rate"]
        assert rate in (1e-2, 1e-9)
        (plain,) = outcomes_of(name, [run], folder, learning_rate=rate)
        np.testing.assert_array_equal(outcome.scores, plain.scores)


def test_a_set_of_embeddings_brings_its_own_rates(folder):
    rng = numpy_generator(0)
    recipe = NativeRecipe("tiny", ((0, 1), (2, 3)), np.full(2, 1e-2, np.float32))
    embeddings = rng.normal(size=(4, 6, DIMENSION)).astype(np.float32)
    made = embedding_set(embeddings, np.array([0, 1, 0, 1]), CLASSES, recipe)
    runs = [Run(made, 1), Run(a_set(1, 10), 0)]
    found, beside = outcomes_of("text-cnn", runs, folder, rates=(1e-2, 1e-3))
    (plain,) = outcomes_of("text-cnn", runs[:1], folder)
    np.testing.assert_array_equal(found.scores, plain.scores)
    assert "learning_rate" not in found.extra
    assert beside.extra["learning_rate"] in (1e-2, 1e-3)
    (aside,) = outcomes_of("text-cnn", runs[:1], folder, rates=(1e-2, 1e-3), native=False)
    assert aside.error == "embedding-level set, no rows of which can be held out to pick from rates"


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("text-cnn", "b437b4989e16ed4855cb758f2dae5129454916b2"),
        ("text-rnn", "5232eb57fd90a07de884230eb39e3688b327233c"),
        ("text-cnn@native=false", "9a9ed60e333d5edbf358a73bc639ea745e4927dd"),
    ],
)
def test_keys_without_rates_are_those_from_before_there_were_any(name, digest):
    learner = build_learner(name)
    key = run_key(
        set_hash="s" * 40,
        learner=name,
        recipe=learner.params(),
        learner_version=learner.version,
        models={"glove-50d": "m" * 40},
        test="t" * 40,
        metric="accuracy",
        seed=7,
    )
    assert key.digest == digest
    picking = build_learner(f"{name}@rates=1e-4+5e-3")
    assert picking.params() == {**learner.params(), "rates": [1e-4, 5e-3]}
    assert build_learner(picking.name, picking.params()) == picking


def test_published_rows_have_the_recipe_that_would_be_keyed_today():
    path = files("leaderboards") / "results" / "tdd-offline.parquet"
    rows = pd.read_parquet(str(path)).query("learner == 'text-cnn'")
    recipes = {json.dumps(json.loads(text)["recipe"], sort_keys=True) for text in rows["info"]}
    assert recipes == {json.dumps(build_learner("text-cnn").params(), sort_keys=True)}
