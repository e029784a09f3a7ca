"""Differential privacy: accounting, clipping, and whether canaries leak less as epsilon falls."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

pytest.importorskip("opacus")

from benchmark.core.errors import InputError
from benchmark.core.journal import Journal
from benchmark.core.method import METHODS, Budget
from benchmark.core.seeding import numpy_generator
from benchmark.core.states import prepare_state
from benchmark.testing import parametrize_with_method_checks, toy_pool
from methods.gradient_matching.closed_form import LastLayer, mean_cosine
from methods.gradmm import GradMM
from methods.readable.accounting import MORE_ORDERS, least_epsilon, noise_for, spent
from methods.readable.learners import PromptLearner
from methods.readable.private import Mechanism

TOY = METHODS.cls("gradmm-dp").toy


@parametrize_with_method_checks(["gradmm-dp"])
def test_conformance(method, check):
    check(method)


def layer(n, seed=0, scale=1.0):
    draws = torch.Generator().manual_seed(seed)
    return LastLayer(torch.randn(n, 5, generator=draws) * scale, torch.randn(n, 3, generator=draws))


def test_one_row_moves_a_release_by_the_clip_at_most():
    mechanism = Mechanism(clip=0.7, noise=0.0, rate=0.5)
    for group in (1, 3):
        rows = layer(6 * group, scale=20.0)
        less = LastLayer(rows.inputs[group:], rows.errors[group:])
        both = [
            mechanism.release(part, group, 20, (3, 5), np.random.default_rng(1))
            for part in (rows, less)
        ]
        assert float((both[0] - both[1]).norm()) * 0.5 * 20 <= 0.7 + 1e-5
    small = layer(4, scale=1e-3)
    plain = mechanism.release(small, 1, 8, (3, 5), np.random.default_rng(1))
    assert torch.allclose(plain, small.gradient(), atol=1e-8), "small gradients are not clipped"


def test_noise_has_the_size_that_the_accountant_was_told():
    mechanism = Mechanism(clip=2.0, noise=3.0, rate=0.1)
    noised = mechanism.release(None, 1, 40, (300, 200), np.random.default_rng(0))
    assert float(noised.std()) == pytest.approx(3.0 * 2.0 / (0.1 * 40), rel=0.02)


def test_sampling_is_poisson():
    mechanism = Mechanism(1.0, 1.0, 0.3)
    sizes = [len(mechanism.sample(np.arange(50), np.random.default_rng(i))) for i in range(300)]
    assert np.mean(sizes) == pytest.approx(15, abs=0.8)
    assert np.var(sizes) == pytest.approx(50 * 0.3 * 0.7, rel=0.3)


def test_noise_is_the_least_that_keeps_to_the_budget_and_composes():
    noise = noise_for(2.0, 1e-5, 0.1, 5)
    assert spent(noise, 0.1, 5, 1e-5) <= 2.0
    assert spent(noise * 0.99, 0.1, 5, 1e-5) > 2.0
    assert spent(noise, 0.1, 6, 1e-5) > spent(noise, 0.1, 5, 1e-5)
    assert noise_for(2.0, 1e-5, 0.1, 50) > noise
    assert noise_for(1.0, 1e-5, 0.1, 5) > noise
    assert noise_for(2.0, 1e-5, 1.0, 5) > noise


def converted(orders, divergences, delta):
    """Epsilon from Rényi's divergences (Balle et al., AISTATS 2020, Theorem 21)."""
    return min(
        d + np.log1p(-1 / a) - np.log(delta * a) / (a - 1)
        for a, d in zip(orders, divergences, strict=True)
    )


@pytest.mark.parametrize(("noise", "releases"), [(0.7, 1), (2.0, 4), (30.0, 50)])
def test_what_is_spent_on_all_rows_is_the_closed_form(noise, releases):
    """Divergences of the Gaussian mechanism are a T / (2 sigma^2) at every order a."""
    from opacus.accountants import RDPAccountant

    orders = [*RDPAccountant.DEFAULT_ALPHAS, *MORE_ORDERS]
    wanted = converted(orders, [a * releases / (2 * noise**2) for a in orders], 1e-5)
    assert spent(noise, 1.0, releases, 1e-5) == pytest.approx(wanted, rel=1e-9)


def test_what_is_spent_on_a_sample_is_the_binomial_sum():
    """At whole orders (Mironov et al., 2019, section 3.3); those between gain little here."""
    noise, rate, releases, orders = 1.5, 0.2, 6, range(2, 32)
    divergences = [
        releases / (a - 1) * np.log(sum(
            comb(a, k) * (1 - rate) ** (a - k) * rate**k * np.exp(k * (k - 1) / (2 * noise**2))
            for k in range(a + 1)
        ))
        for a in orders
    ]  # fmt: skip
    wanted = converted(orders, divergences, 1e-5)
    found = spent(noise, rate, releases, 1e-5)
    assert found <= wanted + 1e-9
    assert found == pytest.approx(wanted, rel=0.01)


def test_an_epsilon_out_of_reach_is_refused_and_the_least_one_named():
    for delta in (1e-5, 1e-3, 0.1):
        assert least_epsilon(delta) == pytest.approx(max(0.0, spent(1e6, 1.0, 3, delta)), abs=1e-5)
    with pytest.raises(InputError, match=r"epsilon is 0.001, which no noise .* at least 0.0035"):
        METHODS.build("gradmm-dp", {**TOY, "epsilon": 0.001})
    with pytest.raises(InputError, match=r"no noise reaches at delta 1e-05"):
        noise_for(0.001, 1e-5, 1.0, 3)
    with pytest.raises(InputError, match=r"no noise reaches"):
        noise_for(np.nextafter(least_epsilon(1e-5), 1), 1e-5, 1.0, 3)
    least = 1.1 * least_epsilon(1e-5)
    assert spent(noise_for(least, 1e-5, 1.0, 3), 1.0, 3, 1e-5) <= least


def test_releases_of_two_epsilons_do_not_cancel_their_noise(pool):
    """With one noise in two sizes, two releases are two equations for the clipped sum."""
    learner = PromptLearner(
        pool.services.model("phi-1.5"), "phi-1.5", ["bando", "some"], " It was", "labels"
    )
    releases, sizes, clean = [], [], None
    for epsilon in (1.0, 8.0):
        method = METHODS.build("gradmm-dp", {**TOY, "epsilon": epsilon, "real_rows": 10})
        mechanism = method._mechanisms(pool)[0]
        assert mechanism.rate == 1.0, "both see all rows"
        rows = learner.rows_of(pool, np.flatnonzero(pool.labels == 0))
        clean = Mechanism(mechanism.clip, 0.0, 1.0).release(
            learner.layer_of_tokens(rows, 0), learner.predictions(0), len(rows),
            learner.gradient_shape, numpy_generator(1),
        )  # fmt: skip
        releases.append(method.gradient(learner, pool, 0, numpy_generator(1), "match"))
        again = method.gradient(learner, pool, 0, numpy_generator(1), "match")
        assert torch.equal(again, releases[-1]), "results can be repeated"
        sizes.append(mechanism.noise)
    solved = (sizes[0] * releases[1] - sizes[1] * releases[0]) / (sizes[0] - sizes[1])
    assert float((solved - clean).norm()) > 0.5 * float((releases[1] - clean).norm())


class Given:
    """A learner as the private method sees it, whose last layer on each row of a pool is given."""

    def __init__(self, rows):
        self.rows, self.table = rows, rows.inputs
        self.gradient_shape = (rows.errors.shape[1], rows.inputs.shape[1])

    def predictions(self, label):
        return 1

    def rows_of(self, pool, rows):
        return rows

    def layer_of_tokens(self, rows, label):
        return LastLayer(self.rows.inputs[rows], self.rows.errors[rows])


def private(**params):
    """The method with two batches and the ranking; it samples all of eight rows."""
    given = {"candidates": 4, "rows_at_once": 2, "real_rows": 8}
    return METHODS.build("gradmm-dp", {**TOY, **given, **params})


def advantage(epsilon, use, trials=300):
    """How often a canary's gradient in the releases tells more than its absence does.

    The attacker knows all other rows and the canary, and adds up the inner products of what the
    method releases for this use with the canary's gradient: 0.5 is a guess, 1 is certainty.
    """
    pool, method = toy_pool(2, per_class=8), private(epsilon=epsilon)
    rows = layer(16, seed=1)
    rows.inputs[7] *= 5.0
    empty = LastLayer(rows.inputs, rows.errors.clone())
    empty.errors[7] = 0.0
    direction = rows.inputs[[7]] * rows.errors[7][:, None]
    direction /= direction.norm()
    releases = method.releases - 1 if use == "match" else 1

    def scores(there, start):
        learner, rng = Given(there), np.random.default_rng(start)
        found = [
            [
                float((method.gradient(learner, pool, 0, rng, use) * direction).sum())
                for _ in range(releases)
            ]
            for _ in range(trials)
        ]
        return np.sum(found, axis=1)

    inside, outside = scores(rows, 0), scores(empty, 1)
    return float((inside[:, None] > outside[None]).mean())


def test_each_class_has_a_rate_of_its_own_and_the_noise_that_the_smallest_needs():
    pool = toy_pool(2, per_class=40).subset([*range(10), *range(40, 80)])
    method = private(real_rows=5)
    few, many = method._mechanisms(pool)
    assert (few.rate, many.rate) == (5 / 10, 5 / 40)
    assert few.noise == many.noise == noise_for(4.0, 1e-5, 5 / 10, method.releases)
    seen = []

    class Counted(Given):
        def layer_of_tokens(self, rows, label):
            seen.append(len(rows))
            return super().layer_of_tokens(rows, label)

    learner, rng = Counted(layer(50)), numpy_generator(1)
    for label in (0, 1):
        seen.clear()
        for _ in range(200):
            method.gradient(learner, pool, label, rng, "match")
        assert sum(seen) / 200 == pytest.approx(5, abs=0.6)


def test_releases_of_two_pools_have_other_noise():
    """Pools that differ in one row would tell it with one noise: the difference is its gradient."""
    one = toy_pool(2, per_class=10)
    pools = [one.subset([*range(9), *range(10, 19)]), one.subset([*range(1, 10), *range(10, 19)])]
    learner = Given(layer(18))
    found = [private().gradient(learner, p, 0, numpy_generator(1), "match") for p in pools]
    assert not torch.equal(*found)


@pytest.mark.parametrize("use", ["match", "rank"])
def test_membership_of_a_canary_leaks_less_as_epsilon_falls(use):
    found = [advantage(epsilon, use) for epsilon in (100.0, 8.0, 0.1)]
    assert found[0] > 0.95 > 0.9 > found[1] > 0.65 > 0.6 > found[2]


def test_every_look_at_the_rows_is_a_release_that_is_accounted_for(pool, tmp_path, monkeypatch):
    release, classes = Mechanism.release, []

    def counted(self, *args):
        classes.append(args[0])
        return release(self, *args)

    def never(self, *args):
        raise AssertionError("a gradient without noise")

    monkeypatch.setattr(Mechanism, "release", counted)
    monkeypatch.setattr(GradMM, "gradient", never)
    method = METHODS.build("gradmm-dp", {**TOY, "rows_at_once": 2})
    prepare_state(method, pool, tmp_path / "state", seed=1)
    assert len(classes) == method.releases * len(pool.classes) == 4 * 2


def test_a_release_lies_where_the_learner_is(monkeypatch):
    """On a GPU too, of which fake tensors know the rules; they can't be indexed where none is."""
    monkeypatch.setattr(Mechanism, "sample", lambda self, members, rng: members[:0])
    with FakeTensorMode():
        learner = Given(LastLayer(*(torch.ones(16, n, device="cuda") for n in (5, 3))))
        found = private().gradient(learner, toy_pool(2), 0, numpy_generator(1), "match")
        assert found.device == learner.table.device
        assert mean_cosine(found, learner.rows).device == found.device


def test_the_spent_budget_stands_beside_every_set_and_covers_the_ranking(pool, tmp_path):
    method = METHODS.build("gradmm-dp", {**TOY, "rows_at_once": 2})
    assert method.releases == 4, "three batches and the ranking"
    state = prepare_state(method, pool, tmp_path / "state", seed=1)
    made = method.distil(pool, Budget.dpc(2, 2), numpy_generator(1), state)
    found = Journal(state).findings()
    rate = 4 / 10
    assert made.notes["epsilon"] == pytest.approx(spent(found["noise_multiplier"], rate, 4, 1e-5))
    assert 3.9 < made.notes["epsilon"] <= 4.0
    assert made.notes["delta"] == 1e-5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"epsilon": 0}, "epsilon is 0.0; a privacy budget must be above 0"),
        ({"epsilon": -1}, "above 0"),
        ({"delta": 1}, "between 0 and 1"),
        ({"filter": "features"}, "filter = 'features' reads the training rows without noise"),
        ({"length": 0}, "length = 0 reads"),
        ({"writer": "tiny"}, "writer = 'tiny' reads"),
        ({"selection": 0.3}, "selection = 0.3 would change nothing: all rows are ranked on"),
        ({"encoder": "mpnet"}, "only filter=features"),
        ({"writer_steps": 7}, "only writer=tiny"),
    ],
)
def test_what_no_budget_covers_is_refused(wrong, words):
    with pytest.raises(InputError, match=words):
        METHODS.build("gradmm-dp", {**TOY, **wrong})


def test_a_machine_without_the_accountant_is_told_before_work(monkeypatch):
    method = METHODS.build("gradmm-dp")
    assert method.lacks() == ""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install -c constraints.txt -e '.[dp]'" in method.lacks()
