"""TDD on word vectors: a network's second derivatives, and two kinds of start kept apart."""

import numpy as np
import pytest
import torch

from benchmark.core.errors import InputError
from benchmark.core.learner import Run, TestTexts, build_learner
from benchmark.core.method import METHODS, Budget
from benchmark.core.native import NativeRecipe, embedding_set
from benchmark.core.seeding import torch_generator
from benchmark.core.wordnets.embedded import EmbeddedNetwork
from benchmark.core.wordnets.networks import Convolutions, Recurrence
from benchmark.testing import run_method_checks
from methods.bilevel.learnable import Layout, Learnable
from methods.bilevel.unroll import final_weights, unrolled
from methods.tdd_cnn import TDDCnn

NETWORKS = {"text-cnn": Convolutions(3, (2, 3)), "text-rnn": Recurrence(3, 2)}


@pytest.mark.parametrize("name", ["tdd-cnn", "tdd-rnn-fixed"])
def test_the_conformance_suite_passes(name):
    run_method_checks(METHODS.build(name, {**METHODS.entry(name).preset, **TDDCnn.toy}))


@pytest.mark.parametrize("replay", [False, True], ids=["graph", "replay"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_finite_differences(name, replay):
    network = EmbeddedNetwork(NETWORKS[name], 4, 2)
    start = {key: 2 * w.double() for key, w in network.start(1).items()}
    made = Learnable(
        Layout((1, 1), 2, whole=True), 2,
        torch.randn(2, 5, 4, generator=torch_generator(1)), 0.5, "soft",
    ).double()  # fmt: skip
    real = Learnable(
        Layout((2, 2), 1, whole=True), 2,
        torch.randn(4, 6, 4, generator=torch_generator(2)), 0.5, "hard",
    ).double().batches()[0]  # fmt: skip

    def outer(weights):
        weights = {key: w.detach().requires_grad_() for key, w in weights.items()}
        loss = network.loss(weights, real)
        found = torch.autograd.grad(loss, list(weights.values()))
        return float(loss.detach()), dict(zip(weights, found, strict=True))

    unrolled(
        start, made.batches(), made.rates(), network.loss, outer,
        learned=list(made.parameters()), replay=replay,
    )  # fmt: skip

    def value() -> float:
        with torch.no_grad():
            batches, rates = made.batches(), made.rates()
        return outer(final_weights(start, batches, rates, network.loss))[0]

    for parameter in made.parameters():
        flat, by = parameter.data.view(-1), parameter.grad.view(-1)
        for at in range(0, len(flat), max(1, len(flat) // 5)):
            before = float(flat[at])
            flat[at] = before + 1e-5
            above = value()
            flat[at] = before - 1e-5
            below = value()
            flat[at] = before
            assert (above - below) / 2e-5 == pytest.approx(float(by[at]), rel=1e-4, abs=1e-9)


def texts_of(pool) -> TestTexts:
    return TestTexts(pool.texts(), pool.classes, "", lambda name: None, lambda name, made: None)


def scores(pool, made, name: str, seeds=(1, 2)) -> list[np.ndarray]:
    models = {"glove-50d": pool.services.model("glove-50d")}
    runs = [Run(made, seed) for seed in seeds]
    outcomes = list(build_learner(name).fit_predict(runs, texts_of(pool), models))
    assert [outcome.error for outcome in outcomes] == [None] * len(seeds)
    return [outcome.scores for outcome in outcomes]


def test_a_fixed_start_travels_with_the_set_and_a_random_one_does_not(pool, method):
    made = {
        initial: method(TDDCnn, initial=initial).distil(
            pool, Budget.dpc(2, 2), np.random.default_rng(0)
        )
        for initial in ("fixed", "random")
    }
    assert made["fixed"].recipe["start_seed"] == 0
    assert made["random"].recipe["start_seed"] is None
    first, second = scores(pool, made["fixed"], "text-cnn")
    assert np.array_equal(first, second)
    first, second = scores(pool, made["random"], "text-cnn")
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", ["text-cnn", "text-rnn"])
def test_learners_of_the_same_vectors_take_the_set_by_either_recipe(pool, method, name):
    made = method(TDDCnn).distil(pool, Budget.dpc(2, 2), np.random.default_rng(0))
    native = scores(pool, made, name)[0]
    common = scores(pool, made, f"{name}@native=false")[0]
    assert native.shape == common.shape == (len(pool), 2)
    assert not np.allclose(native, common)


def test_other_vectors_are_refused(pool, method):
    made = method(TDDCnn).distil(pool, Budget.dpc(2, 2), np.random.default_rng(0))
    models = {"glove-100d": pool.services.model("glove-100d")}
    learner = build_learner("text-cnn@model=glove-100d")
    outcome = next(iter(learner.fit_predict([Run(made, 1)], texts_of(pool), models)))
    assert outcome.error == "embedding-level set for glove-50d"
    wide = embedding_set(
        np.zeros((4, 5, 9), dtype=np.float32), made.labels, made.classes, NativeRecipe.of(made)
    )
    with pytest.raises(InputError, match="9 numbers for vectors of 8"):
        scores(pool, wide, "text-cnn")
