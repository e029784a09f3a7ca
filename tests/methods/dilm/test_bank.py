"""Learners of the bank: trained once, put back as they were, independent of any generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.core.finetune.recipe import Recipe
from methods.gradient_matching.learners import Bank, MatchingLearner

RECIPE = Recipe(steps=6, batch_size=8, precision="float32", learning_rate=1e-2)


@pytest.fixture
def learner(pool):
    return MatchingLearner(pool.services.model("minilm"), 2, RECIPE)


def filled(folder, learner, pool, count=2):
    folder.mkdir(exist_ok=True)
    bank = Bank(folder, learner, states=3)
    bank.fill(count, pool, every=2, seed=5, report=lambda done, total: None)
    return bank


def test_states_come_back_as_they_were_trained(learner, pool, tmp_path):
    bank = filled(tmp_path / "bank", learner, pool)
    rows = learner.tokens(pool.texts())
    from benchmark.core.seeding import seed_of

    seed = seed_of("trajectory", seed=5, index=1)
    expected = []
    for _ in learner.train(rows, pool.labels, seed, states=3, every=2):
        expected.append([t.clone() for t in learner.head_inputs(rows)])
    learner.begin(rows)
    for state in (2, 0, 1):
        bank.load(1, state)
        for mine, theirs in zip(learner.head_inputs(rows), expected[state], strict=True):
            torch.testing.assert_close(mine, theirs, atol=2e-2, rtol=2e-2)  # kept in bfloat16
    assert not torch.allclose(expected[0][1], expected[2][1], atol=1e-3)


def test_a_bank_is_filled_once(learner, pool, tmp_path):
    filled(tmp_path / "bank", learner, pool, count=1)
    first = tmp_path / "bank" / "trajectory-0.safetensors"
    before = (first.read_bytes(), first.stat().st_mtime_ns)
    filled(tmp_path / "bank", learner, pool, count=2)
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before
    other = tmp_path / "bank" / "trajectory-1.safetensors"
    assert other.read_bytes() != before[0]
    filled(tmp_path / "again", learner, pool, count=1)
    assert (tmp_path / "again" / "trajectory-0.safetensors").read_bytes() == before[0]


def test_the_padded_way_reads_the_same_head_inputs(pool):
    from benchmark.core.finetune.engines import engine_for

    learner = MatchingLearner(pool.services.model("minilm"), 2, RECIPE)
    rows = learner.tokens(pool.texts())
    learner.begin(rows)
    weights = learner.engine.weights()
    packed = learner.head_inputs(rows)
    learner.engine = engine_for(learner.pretrained, "padded")
    learner.begin(rows)
    learner.restore(weights)
    for mine, theirs in zip(packed, learner.head_inputs(rows), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_training_fits_the_pool(learner, pool):
    rows = learner.tokens(pool.texts())
    learner.recipe = Recipe(steps=60, batch_size=8, precision="float32", learning_rate=1e-2)
    for _ in learner.train(rows, pool.labels, 1, states=2, every=60):
        errors = learner.last_layer(rows, pool.labels).errors
    assert float(np.abs(errors.numpy()).mean()) < 0.3
