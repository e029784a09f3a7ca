"""Rewards from fine-tuned encoders: what they find, and what is kept of them."""

from __future__ import annotations

import numpy as np

from benchmark.core.finetune.recipe import Recipe
from methods.rewriting import rewards
from methods.rewriting.rewards import FinetunedRewards


def test_finetuned_rewards_tell_classes_apart_and_share_the_little_trained(pool, tmp_path):
    folder = pool.services.model("minilm")
    made = FinetunedRewards(pool, folder, tmp_path, 0, np.random.default_rng(0))
    recipe = Recipe(steps=60, learning_rate=1e-2, dropout=0.0)  # the paper's is for BERT
    known = made._classifier(made._trained(pool.texts(), pool.labels, recipe, 3))
    little = made.little_trained()
    chances = known(made.read_pool(np.arange(len(pool))))
    assert (chances.argmax(1) == pool.labels).all()
    assert np.allclose(chances.sum(1), 1)
    unsure = little(made.read_pool(np.arange(len(pool))))
    assert unsure.max() < chances.max()
    again = FinetunedRewards(pool, folder, tmp_path, 0, np.random.default_rng(5))
    texts = again.read(pool.texts())
    assert np.allclose(again.little_trained()(texts), unsure, atol=1e-3)
    assert len(list(tmp_path.glob("part-*"))) == 1


def test_what_the_little_trained_says_of_the_pool_is_kept_beside_it(pool, tmp_path, monkeypatch):
    def made():
        folder = pool.services.model("minilm")
        return FinetunedRewards(pool, folder, tmp_path, 0, np.random.default_rng(0))

    monkeypatch.setattr(rewards, "BLOCK", 7)
    first = made()
    chances = first.pool_chances()
    everything = first.little_trained()(first.read(pool.texts()))
    assert np.allclose(chances, everything, atol=1e-3)
    monkeypatch.setattr(FinetunedRewards, "read_pool", None)
    assert np.array_equal(made().pool_chances(), chances), "read from its file"
    assert len(list(tmp_path.glob("part-*"))) == 2
    monkeypatch.undo()
    monkeypatch.setattr(FinetunedRewards, "little_recipe", lambda self: Recipe(steps=1))
    assert not np.array_equal(made().pool_chances(), chances)
    assert len(list(tmp_path.glob("part-*"))) == 4, "another recipe makes others"
