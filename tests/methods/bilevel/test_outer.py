"""The outer loop: resumed, rolled back, given up, and never looking at more than it may."""

import numpy as np
import pytest
import torch

from benchmark.core.errors import BenchmarkError
from benchmark.core.journal import Journal
from methods.bilevel.carving import carve
from methods.bilevel.outer import OuterLoop, OuterPlan


def quiet(words, done, total):
    pass


@pytest.fixture
def loop(begun, pool, tmp_path):
    def make(folder="a", steps=6, **settings):
        source, learnable = begun()
        training, selection = carve(pool.labels, 4, np.random.default_rng(0))
        plan = OuterPlan(
            **{"steps": steps, "learning_rate": 0.05, "batch": 4, "evaluate_every": 2, **settings}
        )
        where = tmp_path / folder
        where.mkdir(exist_ok=True)
        return OuterLoop(
            source, learnable, plan, training, selection, pool.labels, where, 5, quiet, "toy"
        )

    return make


def values(loop) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in loop.learnable.named_parameters()}


def test_a_killed_optimisation_resumes_to_the_same_set(loop, monkeypatch):
    calm = loop("calm")
    calm.run()
    rough = loop("rough")
    monkeypatch.setattr("methods.bilevel.outer.CHECKPOINT_SECONDS", -1.0)
    taken = rough._step

    def killed(step):
        if step == 3:
            raise KeyboardInterrupt
        return taken(step)

    monkeypatch.setattr(rough, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        rough.run()
    again = loop("rough")
    steps = []
    monkeypatch.setattr(
        again, "_step", lambda step, real=again._step: steps.append(step) or real(step)
    )
    again.run()
    assert steps == [3, 4, 5]
    for name, value in values(calm).items():
        assert torch.equal(value, values(again)[name]), name
    looks = [Journal(one.folder).curves()["selection_loss"] for one in (calm, again)]
    assert looks[0] == looks[1]


def test_the_best_step_of_the_selection_split_is_kept(loop, monkeypatch):
    chosen = loop(steps=6)
    losses = iter([0.9, 0.5, 0.2, 0.4])  # after steps 0, 2, 4, 6
    monkeypatch.setattr(
        "methods.bilevel.outer.loss_and_accuracy", lambda logits, labels: (next(losses), 0.5)
    )
    chosen.plan = OuterPlan(steps=6, learning_rate=0.05, batch=4, evaluate_every=2, trainings=1)
    seen = {}
    monkeypatch.setattr(
        chosen.best,
        "save",
        lambda step, real=chosen.best.save: (seen.update({step: values(chosen)}), real(step)),
    )
    chosen.run()
    assert sorted(seen) == [0, 2, 4]
    for name, value in seen[4].items():
        assert torch.equal(value, values(chosen)[name])
    assert Journal(chosen.folder).findings()["best_step"] == 4


def test_what_is_not_finite_is_rolled_back_with_half_the_rates(loop, monkeypatch):
    shaken = loop(steps=4)
    rate = float(shaken.learnable.rates()[0].detach())
    real, failures = shaken.source.outer, iter([True, True])
    monkeypatch.setattr(
        shaken.source, "outer",
        lambda weights, rows: (float("nan"), {}) if next(failures, False) else real(weights, rows),
    )  # fmt: skip
    shaken.run()
    assert Journal(shaken.folder).curves()["rolled_back"] == {1: 0.0, 2: 0.0}
    assert shaken.rollbacks == 2
    assert shaken.optimiser.param_groups[0]["lr"] == pytest.approx(shaken.plan.rate(3) / 4)
    assert rate / 8 < float(shaken.learnable.rates()[0].detach()) < rate / 2


def test_a_hopeless_set_is_given_up_with_advice(loop, monkeypatch):
    hopeless = loop(steps=4, patience=2)
    monkeypatch.setattr(hopeless.source, "outer", lambda weights, rows: (float("inf"), {}))
    with pytest.raises(BenchmarkError, match=r"not finite at step 1 of 4, 3 times so far.*inner_"):
        hopeless.run()


def test_selection_rows_are_of_every_class_and_never_trained_on():
    labels = np.repeat([0, 1, 2], [50, 5, 2])
    training, selection = carve(labels, 12, np.random.default_rng(0))
    assert sorted([*training, *selection]) == list(range(57))
    assert np.bincount(labels[selection]).tolist() == [10, 1, 1]
    with pytest.raises(BenchmarkError, match="class 1 has 1 row"):
        carve(np.array([0, 0, 1]), 2, np.random.default_rng(0))


def test_inner_steps_grow_over_the_ramp():
    plan = OuterPlan(steps=10, learning_rate=1.0, ramp=0.5)
    assert [plan.inner_steps(step, 10) for step in range(6)] == [2, 4, 6, 8, 10, 10]
    assert OuterPlan(steps=10, learning_rate=1.0).inner_steps(0, 7) == 7


def test_the_rate_rises_and_falls_to_nothing():
    plan = OuterPlan(steps=10, learning_rate=1.0, warmup=0.2)
    assert [plan.rate(step) for step in (0, 1, 2, 6)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert 0 < plan.rate(9) <= 0.125


def test_gradients_see_training_rows_and_looks_see_selection_rows(loop, monkeypatch):
    watched = loop(steps=3)
    seen = {"outer": set(), "scores": set()}
    for name, rows in seen.items():
        method = getattr(watched.source, name)

        def watch(weights, given, rows=rows, real=method):
            rows.update(given.tolist())
            return real(weights, given)

        monkeypatch.setattr(watched.source, name, watch)
    watched.run()
    assert seen["scores"] == set(watched.selection.tolist())
    assert seen["outer"]
    assert seen["outer"] <= set(watched.training.tolist())
