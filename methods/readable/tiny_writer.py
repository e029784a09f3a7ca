"""A small language model of the pool that writes in the tokens of another model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmark.core.assets import load_tokenizer, model_fingerprint
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.pool import Pool
from benchmark.core.states import shared_part
from benchmark.core.threads import fixed_threads
from methods.language_models.pretraining import TINY, LanguageModelPlan, train_language_model

BATCH = 32
"""Rows of an update: a vocabulary of 30,000 tokens makes each of them dear on a CPU."""


def tiny_writer(pool: Pool, folder: Path, model: Path, steps: int, max_length: int) -> Path:
    """Train it, or take the one there is: returns the folder of the part.

    Parameters
    ----------
    pool : rows that it may read: those that are written from, and none that are ranked on.
    folder : of the state that asks for it; the part lies beside.
    model : folder of the model whose tokenizer is taken.
    steps : updates at most; the best step on held-out rows of the pool is kept.
    max_length : longest row in tokens, 0 for the pool's longest.
    """
    recipe = Recipe(
        steps=steps, learning_rate=1e-3, warmup=0.05, batch_size=BATCH, precision="float32"
    )
    plan = LanguageModelPlan(TINY, recipe, max_length, "best")

    def make(partial: Path, rng: np.random.Generator) -> None:
        tokenizer = load_tokenizer(model)
        if tokenizer.eos_token_id is None:  # BERT's ends its rows with [SEP]
            tokenizer.eos_token = tokenizer.sep_token
        with fixed_threads():
            train_language_model(pool, plan, partial, rng, tokenizer)

    ingredients = {**asdict(plan), "vocabulary": model_fingerprint(model)}
    return shared_part(folder, pool, "language-model", ingredients, make)
