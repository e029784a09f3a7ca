"""Training resumes where it was, does with less memory, and stops at what is not finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.core.errors import BenchmarkError
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.journal import Journal
from benchmark.core.seeding import numpy_generator
from methods.language_models import pretraining, training
from methods.language_models.pretraining import GENERATOR, LanguageModelPlan, train_language_model

RECIPE = Recipe(steps=12, learning_rate=1e-2, warmup=0.1, batch_size=6, precision="float32")
PLAN = LanguageModelPlan("tiny", RECIPE, max_length=24)


class Killed(Exception):
    """Stands for a kill: nothing after it runs."""


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / GENERATOR / "model.safetensors")


def train(pool, folder, plan=PLAN):
    folder.mkdir(exist_ok=True)
    train_language_model(pool, plan, folder, numpy_generator(4))
    return weights(folder)


@pytest.mark.parametrize("stop", ["last", "best"])
def test_a_killed_training_ends_as_an_undisturbed_one(pool, tmp_path, monkeypatch, stop):
    plan = LanguageModelPlan("tiny", RECIPE, max_length=24, stop=stop)
    monkeypatch.setattr(pretraining, "EVALUATE_EVERY", 3)
    monkeypatch.setattr(training, "LOG_EVERY", 2)
    undisturbed = train(pool, tmp_path / "whole", plan)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    update, steps = training.Trainer.update, []

    def killed_at(self, step, backward):
        steps.append(step)
        if steps.count(7) == 1 and step == 7:
            raise Killed
        return update(self, step, backward)

    monkeypatch.setattr(training.Trainer, "update", killed_at)
    with pytest.raises(Killed):
        train(pool, tmp_path / "killed", plan)
    resumed = train(pool, tmp_path / "killed", plan)
    assert steps == [*range(8), *range(7, 12)]
    assert resumed.keys() == undisturbed.keys()
    for name, value in undisturbed.items():
        assert torch.equal(value, resumed[name]), name
    assert list(Journal(tmp_path / "killed").curves()["language_model_loss"]) == [
        2,
        4,
        6,
        8,
        10,
        12,
    ]
    assert not (tmp_path / "killed" / "language_model.safetensors").exists()


def test_training_lowers_the_loss(pool, tmp_path):
    plan = LanguageModelPlan("tiny", RECIPE.__class__(**{**vars(RECIPE), "steps": 100}), 24)
    train(pool, tmp_path / "state", plan)
    curve = Journal(tmp_path / "state").curves()["language_model_loss"]
    assert curve[100] < 0.8 * curve[50]


class NeedsMemory:
    """Makes a model fail as torch does when it gets more than `limit` tokens at once."""

    def __init__(self, monkeypatch, limit):
        from transformers import GPT2LMHeadModel

        forward = GPT2LMHeadModel.forward
        self.refused = 0

        def limited(model, input_ids=None, **given):
            if input_ids.numel() > limit:
                self.refused += 1
                raise torch.OutOfMemoryError("not enough memory")
            return forward(model, input_ids=input_ids, **given)

        monkeypatch.setattr(GPT2LMHeadModel, "forward", limited)


def test_out_of_memory_halves_what_is_computed_at_once(pool, tmp_path, monkeypatch):
    recipe = Recipe(
        steps=4, learning_rate=1e-3, warmup=0, batch_size=8, precision="float32", dropout=0.0
    )
    plan = LanguageModelPlan("tiny", recipe, max_length=24)
    whole = train(pool, tmp_path / "whole", plan)
    memory = NeedsMemory(monkeypatch, limit=50)
    parts = train(pool, tmp_path / "parts", plan)
    assert memory.refused >= 1
    assert Journal(tmp_path / "parts").findings()["parts_per_step"] >= 2
    for name, value in whole.items():
        torch.testing.assert_close(value, parts[name], atol=2e-5, rtol=1e-3)


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    bad = Recipe(steps=30, learning_rate=1e30, warmup=0.2, batch_size=6, precision="float32")
    folder = tmp_path / "state"
    with pytest.raises(BenchmarkError, match=r"at step \d+ of 30; the checkpoint of step \d+"):
        train(pool, folder, LanguageModelPlan("tiny", bad, max_length=24))
    from safetensors.torch import load_file

    kept = load_file(folder / "language_model.safetensors")
    assert all(torch.isfinite(t).all() for name, t in kept.items() if name.startswith("weight/"))


def test_a_pool_of_texts_longer_than_the_context_is_cut(tmp_path, monkeypatch, pool):
    from methods.language_models import tiny

    monkeypatch.setattr(tiny, "CONTEXT", 10)
    train(pool, tmp_path / "state", LanguageModelPlan("tiny", RECIPE))
    from methods.language_models.generator import load

    loaded = load(tmp_path / "state" / GENERATOR)
    assert loaded.serialiser.max_length == 10
    assert np.max([len(r) for r in loaded.serialiser.encode(pool.texts(), pool.labels)]) <= 10
