"""One run: train on a set's rows, then predict the test texts."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.core.finetune.batches import training_batches
from benchmark.core.finetune.engine import Engine
from benchmark.core.finetune.losses import Losses
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.tokens import Ragged
from benchmark.core.seeding import isolated_torch_rng, numpy_generator, seed_of


class DivergedError(RuntimeError):
    """Training left the finite numbers."""


@dataclass(frozen=True)
class Member:
    """One run of a cell: its set's tokens and labels, and its seed."""

    examples: Ragged
    labels: np.ndarray
    seed: int


@dataclass(frozen=True)
class Trained:
    """What one run gave: logits of the test texts and where the time went."""

    logits: np.ndarray
    train_seconds: float
    predict_seconds: float
    last_loss: float


def train_and_predict(
    engine: Engine,
    recipe: Recipe,
    examples: Ragged,
    labels: np.ndarray,
    texts: Ragged,
    seed: int,
) -> Trained:
    """Train from the pretrained weights and predict with the last step's weights.

    The seed draws the head, then the dropout masks; batches have a stream of their own, so that
    engines that use dropout differently still see the same rows. Nothing of an earlier run and no
    global random state enters.

    Raises `DivergedError` when a loss or a logit is not finite.
    """
    started = time.perf_counter()
    target = torch.from_numpy(np.array(labels))
    order = numpy_generator(seed_of("batch-order", seed=seed))
    losses = Losses(1, recipe.steps)
    with isolated_torch_rng(seed):
        engine.begin(recipe, examples)
        size = recipe.rows_per_step(len(examples))
        for step, rows in enumerate(training_batches(len(examples), size, recipe.steps, order)):
            loss = engine.step(examples.take(rows), target[rows], recipe.rate(step))
            if not losses.add(loss):
                break
    fault = losses.fault(0)
    if fault:
        raise DivergedError(fault)
    trained = time.perf_counter()
    logits = engine.predict(texts)
    if not np.isfinite(logits).all():
        raise DivergedError("the trained model gives logits that are not finite")
    done = time.perf_counter()
    return Trained(logits, trained - started, done - trained, losses.values[0])
