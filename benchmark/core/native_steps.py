"""The steps of a native recipe, for any learner that is a function of its weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmark.core.distilled import DistilledSet
from benchmark.core.finetune.embedded import EmbeddedRows, Weights
from benchmark.core.finetune.training import DivergedError
from benchmark.core.native import ATTENTION, EMBEDDINGS, NativeRecipe


def rows_of(distilled: DistilledSet, device: torch.device) -> EmbeddedRows:
    """The whole set as tensors, labels as target vectors."""
    n_classes = len(distilled.classes)
    targets = distilled.labels if distilled.is_soft else np.eye(n_classes)[distilled.labels]
    arrays = distilled.arrays
    attention = torch.tensor(arrays[ATTENTION], device=device) if ATTENTION in arrays else None
    return EmbeddedRows(
        torch.tensor(arrays[EMBEDDINGS], device=device),
        torch.tensor(targets, dtype=torch.float32, device=device),
        attention,
    )


def take_native_steps(
    start: Weights,
    distilled: DistilledSet,
    loss: Callable[[Weights, EmbeddedRows, float], torch.Tensor],
) -> tuple[Weights, float]:
    """Take the set's own steps in its own order, from `start`; float32, no dropout.

    `loss` is given weights, rows and the weight of attention labels. Returns the weights and the
    loss before the last step. Raises `DivergedError` when a loss is not finite.
    """
    steps = NativeRecipe.of(distilled)
    weights = dict(start)
    velocity = {name: torch.zeros_like(value) for name, value in weights.items()}
    rows = rows_of(distilled, next(iter(weights.values())).device)
    value = float("nan")
    for chosen, rate in zip(steps.order, steps.rates.tolist(), strict=True):
        at = list(chosen)
        batch = EmbeddedRows(*(None if t is None else t[at] for t in rows))
        given = {name: w.detach().requires_grad_() for name, w in weights.items()}
        of_step = loss(given, batch, steps.attention_weight)
        value = float(of_step.detach())
        if not np.isfinite(value):
            raise DivergedError(f"the loss of a native step became {value}")
        gradients = torch.autograd.grad(of_step, list(given.values()), materialize_grads=True)
        with torch.no_grad():
            for name, gradient in zip(given, gradients, strict=True):
                velocity[name].mul_(steps.momentum).add_(gradient)
                weights[name] = given[name].detach() - rate * velocity[name]
    return weights, value
