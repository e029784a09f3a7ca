"""A group of runs: train them side by side, then predict the test texts run after run."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from benchmark.core.finetune.batches import training_batches
from benchmark.core.finetune.losses import Losses
from benchmark.core.finetune.packed import PackedEngine
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.stacked import StackedEngine
from benchmark.core.finetune.tokens import Ragged
from benchmark.core.finetune.training import DivergedError, Member, Trained
from benchmark.core.seeding import numpy_generator, seed_of


def train_and_predict_group(
    engine: PackedEngine, recipe: Recipe, members: Sequence[Member], texts: Ragged
) -> list[Trained | RuntimeError]:
    """Do for each run what `train_and_predict` does; one that diverges fails alone.

    The sets have equally many rows. A run's share of the training seconds is an equal one.
    Logits equal those of `train_and_predict` within rounding: in float32 within 1e-4 after the
    standard recipe on the models of the tests, and whoever else is in the group.
    """
    started = time.perf_counter()
    sizes = {len(member.examples) for member in members}
    if len(sizes) != 1:
        raise ValueError(f"sets of {sorted(sizes)} rows cannot train side by side")
    (n_rows,) = sizes
    stacked = StackedEngine(
        engine, recipe, [m.examples for m in members], [m.seed for m in members]
    )
    size = recipe.rows_per_step(n_rows)
    orders = [
        training_batches(
            n_rows, size, recipe.steps, numpy_generator(seed_of("batch-order", seed=member.seed))
        )
        for member in members
    ]
    targets = [torch.from_numpy(np.array(member.labels)) for member in members]
    losses = Losses(len(members), recipe.steps)
    for step, rows in enumerate(zip(*orders, strict=True)):
        batches = [member.examples.take(at) for member, at in zip(members, rows, strict=True)]
        labels = [target[at] for target, at in zip(targets, rows, strict=True)]
        if not losses.add(stacked.step(batches, labels, recipe.rate(step))):
            break
    seconds = (time.perf_counter() - started) / len(members)
    results: list[Trained | RuntimeError] = []
    for run in range(len(members)):
        fault = losses.fault(run)
        if fault:
            results.append(DivergedError(fault))
            continue
        began = time.perf_counter()
        logits = stacked.predict(run, texts)
        if not np.isfinite(logits).all():
            results.append(DivergedError("the trained model gives logits that are not finite"))
            continue
        predicting = time.perf_counter() - began
        results.append(Trained(logits, seconds, predicting, losses.values[run]))
    return results
