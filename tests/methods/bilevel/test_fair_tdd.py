"""Fair TDD: the adversary, balancing, and the learner that reads its sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.availability import structural_mismatch
from benchmark.core.errors import BenchmarkError, InputError
from benchmark.core.feature_network import FeatureNetwork
from benchmark.core.learner import Run, TestTexts, build_learner
from benchmark.core.method import METHODS, Budget
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from benchmark.core.task import Task
from benchmark.testing import parametrize_with_method_checks, toy_pool
from methods.bilevel.balancing import balanced
from methods.bilevel.feature_source import FeatureSource, group_loss

TOY = METHODS.cls("fair-tdd").toy


@parametrize_with_method_checks(["fair-tdd"])
def test_conformance(method, check):
    check(method)


def grouped(n=400, seed=0, lean=0.8):
    """One coordinate of the features tells the class, another the group, which leans to it."""
    rng = np.random.default_rng(seed)
    labels, features = rng.integers(0, 2, n), rng.normal(size=(n, 6)).astype(np.float32)
    groups = np.where(rng.random(n) < lean, labels, 1 - labels)
    features[:, 0] += 1.5 * (2 * labels - 1)
    features[:, 1] += 3.0 * (2 * groups - 1)
    texts = {"text": [f"row {i}" for i in range(n)]}
    return Pool(
        "grouped", texts, labels, ["no", "yes"], embed=lambda name: features, groups=groups,
        group_names=["a", "b"],
    )  # fmt: skip


def test_the_adversary_finds_a_group_that_is_there_and_chance_otherwise():
    pool = grouped()
    hidden = torch.from_numpy(np.array(pool.embed("x")))
    groups = torch.from_numpy(np.array(pool.groups))
    assert float(group_loss(hidden, groups)) < 0.15
    noise = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    assert float(group_loss(noise, groups)) == pytest.approx(np.log(2), abs=0.03)


def test_as_many_units_as_rows_do_not_let_the_adversary_learn_noise_by_heart():
    draws = torch.Generator().manual_seed(0)
    even, rare = torch.randint(0, 2, (256,), generator=draws), torch.arange(256) % 10 // 9
    for groups, left in ((even, 0.4), (rare, 0.8)):
        noise = torch.randn(256, 300, generator=draws)
        shares = torch.bincount(groups) / 256
        chance = float(-(shares * shares.log()).sum())
        assert 0.9 * chance < float(group_loss(noise, groups)) <= chance + 1e-6
        direction = torch.nn.functional.normalize(torch.randn(300, generator=draws), dim=0)
        told = noise + 6.0 * (2 * groups[:, None] - 1) * direction
        assert float(group_loss(told, groups)) < left * chance


def test_one_group_in_a_batch_tells_nothing():
    hidden = torch.randn(9, 4, requires_grad=True)
    loss = group_loss(hidden, torch.full((9,), 3))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not hidden.grad.any()


def test_the_outer_gradient_is_that_of_both_terms():
    pool = grouped(60)
    network = FeatureNetwork(6, 5, 2)
    features = np.asarray(pool.embed("x"))
    sources = [FeatureSource(network, features, pool.labels, pool.groups, w) for w in (0.0, 0.7)]
    weights, rows = network.start(1), np.arange(50)
    (plain, without), (fair, both) = (source.outer(weights, rows) for source in sources)
    given = {name: w.clone().requires_grad_() for name, w in weights.items()}
    hidden = network.represent(given, torch.from_numpy(features[rows]))
    term = group_loss(hidden, torch.from_numpy(np.array(pool.groups)[rows]))
    assert fair == pytest.approx(plain - 0.7 * float(term.detach()), abs=1e-5)
    term.backward()
    for name in ("hidden.weight", "hidden.bias"):
        wanted = without[name] - 0.7 * given[name].grad
        assert torch.allclose(both[name], wanted, atol=1e-5)
    assert torch.allclose(both["output.weight"], without["output.weight"], atol=1e-6)


def test_balancing_thins_every_cell_to_the_smallest():
    labels = np.array([0] * 7 + [1] * 3)
    groups = np.array([0, 0, 0, 0, 0, 1, 1, 0, 0, 1])
    rng = np.random.default_rng(0)
    assert np.bincount(labels[balanced(labels, None, rng)]).tolist() == [3, 3]
    rows = balanced(labels, groups, rng)
    assert sorted(zip(labels[rows], groups[rows], strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.fixture
def begun(monkeypatch):
    """What an optimisation begins with: it is stopped there by `KeyboardInterrupt`."""
    from methods.bilevel import learnable, outer

    begun = {}

    class Loop:
        def __init__(self, source, learnable, plan, training, selection, *rest):
            begun.update(training=training, selection=selection)

        def run(self):
            raise KeyboardInterrupt

    class Start(learnable.Learnable):
        def __init__(self, layout, n_classes, start, *rest):
            begun["start"] = start[:, 0].numpy()
            super().__init__(layout, n_classes, start, *rest)

    monkeypatch.setattr(outer, "OuterLoop", Loop)
    monkeypatch.setattr(learnable, "Learnable", Start)
    return begun


def test_a_batch_of_one_row_tells_nothing_of_groups():
    with pytest.raises(InputError, match="batch is 1; it must be 2 or more"):
        METHODS.build("fair-tdd", {**TOY, "batch": 1})
    assert METHODS.build("fair-tdd", {**TOY, "batch": 1, "adversary": 0}).batch == 1


@pytest.mark.parametrize(
    ("balance", "equal"), [("none", None), ("class", "labels"), ("class-group", "cells")]
)
def test_training_rows_are_thinned_until_classes_are_equal(begun, balance, equal):
    pool = grouped(300)
    few = np.flatnonzero((pool.labels == 0) | (np.arange(300) % 3 == 0))
    pool = pool.subset(few)
    method = METHODS.build("fair-tdd", {**TOY, "balance": balance, "selection_rows": 20})
    with pytest.raises(KeyboardInterrupt):
        method.distil(pool, Budget.dpc(2, 2), numpy_generator(1))
    training = begun["training"]
    labels, groups = pool.labels[training], pool.groups[training]
    of_class = np.bincount(labels)
    of_cell = np.bincount(2 * groups + labels)
    whole = len(pool) - len(begun["selection"])
    assert (len(training) == whole) == (balance == "none")
    assert (len(set(of_class)) == 1) == (equal is not None)
    assert (len(set(of_cell)) == 1) == (equal == "cells")


def test_a_set_starts_from_rows_that_are_trained_on_each_once(begun):
    pool = grouped(100)
    features = np.asarray(pool.embed("x"))
    method = METHODS.build("fair-tdd", {**TOY, "balance": "class-group"})
    for dpc, enough in ((10, True), (40, False)):
        with pytest.raises(KeyboardInterrupt):
            method.distil(pool, Budget.dpc(dpc, 2), numpy_generator(1))
        rows = [int((features == first).all(1).argmax()) for first in begun["start"]]
        assert set(rows) <= set(begun["training"].tolist())
        assert not set(rows) & set(begun["selection"].tolist())
        assert pool.labels[rows].tolist() == [0, 1] * dpc
        assert (len(set(rows)) == 2 * dpc) == enough


def a_set(pool, **params):
    method = METHODS.build("fair-tdd", {**TOY, "hidden": 16, "steps": 120, "batch": 128,
                                        "passes": 5, "evaluate_every": 60, **params})  # fmt: skip
    return method.distil(pool, Budget.dpc(3, 2), numpy_generator(1))


def scores_of(made, pool):
    learner = build_learner("feature-mlp", {"hidden": 16})
    test = TestTexts(pool.texts(), pool.classes, "", pool.embed, lambda encoder, made: None)
    runs = [Run(made, seed) for seed in range(3)]
    return [outcome.scores for outcome in learner.fit_predict(runs, test, {})]


def gap(made, pool):
    """True-positive-rate gap between the two groups, mean over seeds."""
    from evaluators.fairness import fairness

    found = [
        fairness(scores.argmax(1), pool.labels, pool.groups, 2)["tpr_gap"]
        for scores in scores_of(made, pool)
    ]
    return float(np.mean(found))


def test_the_adversary_makes_a_trained_network_fairer():
    # Nine of ten training rows are of the group that goes with their class; test rows know no such.
    pool, test = grouped(600, lean=0.9), grouped(600, seed=7, lean=0.5)
    plain = a_set(pool, adversary=0.0, learning_rate=0.05)
    fair = a_set(pool, adversary=1.0, learning_rate=0.05)
    assert gap(fair, test) < gap(plain, test) - 0.15
    for made in (plain, fair):
        right = [(s.argmax(1) == test.labels).mean() for s in scores_of(made, test)]
        assert np.mean(right) > 0.58


def task(group):
    return Task("t", "d", ("text",), "label", ("no", "yes"), group=group)


def test_who_can_read_such_sets():
    method = METHODS.build("fair-tdd", {})
    assert structural_mismatch(method, build_learner("feature-mlp"), task("g")) == ""
    for name in ("tfidf-lr", "probe", "transformer@model=minilm", "feature-mlp@hidden=20"):
        mismatch = structural_mismatch(method, build_learner(name), task("g"))
        assert mismatch == "embedding-level set"
    random = METHODS.build("random", {})
    assert structural_mismatch(random, build_learner("feature-mlp"), task("g")) == ""
    said = structural_mismatch(method, build_learner("feature-mlp"), task(None))
    assert said == "a task without groups"
    other = build_learner("feature-mlp", {"hidden": 20})
    assert "16 hidden" in other.refuses(a_set(toy_pool(2)))


def test_a_task_without_groups_is_refused():
    bare = Pool("t", {"text": ["a", "b"]}, np.array([0, 1]), ["x", "y"])
    with pytest.raises(BenchmarkError, match="the task has none"):
        a_set(bare)


def test_the_learner_learns_texts_and_soft_labels():
    from benchmark.core.distilled import DistilledSet

    pool = grouped(300)
    features = np.asarray(pool.embed("x"))
    learner = build_learner("feature-mlp", {"hidden": 16})
    test = TestTexts(
        pool.texts(), pool.classes, "", pool.embed, lambda encoder, made: features[list(made.rows)]
    )
    rows = list(range(40))
    for labels in (pool.labels[rows], np.eye(2, dtype=np.float32)[pool.labels[rows]]):
        made = DistilledSet.of_texts(pool.texts(rows), labels, pool.classes, rows=rows)
        (outcome,) = learner.fit_predict([Run(made, 1)], test, {})
        assert (outcome.scores.argmax(1) == pool.labels).mean() > 0.8
