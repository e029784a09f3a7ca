"""The language-model phase: a generator learns to write rows of the pool, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.core.checkpoint import Weights
from benchmark.core.finetune.batches import training_batches
from benchmark.core.finetune.pretrained import set_dropout
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from methods.language_models.generator import Generator, adapt
from methods.language_models.likelihood import likelihood
from methods.language_models.tiny import tiny_generator
from methods.language_models.training import Phase, Trainer

TINY = "tiny"
GENERATOR = "generator"
"""Folder of the trained generator within a state."""

HELD_OUT = 0.05
HELD_OUT_ROWS = 1_000
EVALUATE_EVERY = 250
PATIENCE = 4


@dataclass(frozen=True)
class LanguageModelPlan:
    """All that a generator's language model is made of, besides the pool.

    Attributes
    ----------
    generator : catalogue name of a causal language model, or `tiny`.
    recipe : how it is trained.
    max_length : longest row in tokens, 0 for the pool's longest.
    stop : `last` step, or `best` of a selection split carved from the pool (5%, at most 1,000
        rows, looked at every 250 steps; training ends when four looks in a row were no better).
    """

    generator: str
    recipe: Recipe
    max_length: int = 0
    stop: str = "last"


def train_language_model(
    pool: Pool,
    plan: LanguageModelPlan,
    folder: Path,
    rng: np.random.Generator,
    tokenizer: Any = None,
) -> None:
    """Train a generator on the pool and save it in `folder / "generator"`.

    A `tiny` one may be given the `tokenizer` of another model, to write in that model's tokens.

    The loss of a row is the mean over its tokens, that of a batch the mean over its rows (DiLM,
    equation 1).
    """
    seed, recipe = int(rng.integers(2**63)), plan.recipe
    if plan.generator == TINY:
        generator = tiny_generator(pool, seed, plan.max_length, tokenizer)
    else:
        model = pool.services.model(plan.generator)
        generator = adapt(model, pool, seed, plan.max_length)
    phase = Phase("language_model", f"{pool.task}: language model {plan.generator}", recipe)
    set_dropout(generator.model, recipe.dropout)
    trainer = Trainer(generator.model, phase, folder, seed, pool.services.report)
    best = None
    if plan.stop == "best":
        pool, held_out = pool.split(HELD_OUT, rng)
        held_out = held_out.subset(np.arange(len(held_out))[:: -(-len(held_out) // HELD_OUT_ROWS)])
        rows = generator.serialiser.encode(held_out.texts(), held_out.labels)
        best = _Best(Weights(folder / "best.safetensors", generator.model), trainer, rows)
    rows = generator.serialiser.encode(pool.texts(), pool.labels)
    order = numpy_generator(seed_of("language-model-batches", seed=seed))
    size = recipe.rows_per_step(len(rows))
    batches = list(training_batches(len(rows), size, recipe.steps, order))
    for step in trainer.steps():
        batch = [rows[i] for i in batches[step]]
        trainer.update(step, lambda parts, batch=batch: _backward(generator, batch, parts, recipe))
        if best is not None and (step + 1) % EVALUATE_EVERY == 0 and best.is_over(step + 1):
            break
    if best is not None:
        best.restore()
    generator.save(folder / GENERATOR)
    trainer.checkpoint.remove()


def _backward(
    generator: Generator, batch: Sequence[np.ndarray], parts: int, recipe: Recipe
) -> float:
    total = 0.0
    for part in np.array_split(np.arange(len(batch)), parts):
        rows = [batch[i] for i in part]
        loss = likelihood(generator.model, rows, recipe.precision).per_token.sum() / len(batch)
        loss.backward()
        total += float(loss.detach())
    return total


@dataclass
class _Best:
    """Keeps the weights that are best on held-out rows."""

    weights: Weights
    trainer: Trainer
    rows: list[np.ndarray]
    curve: str = field(default="language_model_held_out_loss")

    def is_over(self, step: int) -> bool:
        """Look at the held-out rows; whether to stop."""
        loss = mean_loss(self.trainer.model, self.rows, self.trainer.recipe.precision)
        seen = self.trainer.journal.curves().get(self.curve, {})
        earlier = {at: value for at, value in seen.items() if at < step}
        self.trainer.journal.log(self.curve, step, loss)
        if loss < min(earlier.values(), default=np.inf):
            self.weights.save(step)
            return False
        at_best = min(earlier, key=lambda at: earlier[at])
        return step - at_best >= PATIENCE * EVALUATE_EVERY

    def restore(self) -> None:
        """Go back to the best weights."""
        step = self.weights.load()
        if step:
            self.trainer.journal.find("language_model_best_step", step)
        self.weights.remove()
        self.trainer.model.eval()


@torch.no_grad()
def mean_loss(model: Any, rows: Sequence[np.ndarray], precision: str) -> float:
    """Mean over rows of their mean loss a token, without dropout."""
    training = model.training
    model.eval()
    total = 0.0
    for start in range(0, len(rows), 64):
        total += float(likelihood(model, rows[start : start + 64], precision).per_token.sum())
    model.train(training)
    return total / len(rows)
