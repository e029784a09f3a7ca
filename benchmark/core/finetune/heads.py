"""Classification heads of many runs, trained side by side on features that do not change.

Every weight has a leading axis of runs, so a step of all runs is a few batched products and one
call of the optimiser. Nothing mixes runs: losses are summed, so that each weight's gradient is its
own run's; gradients are clipped run by run; AdamW works element by element. A run that leaves the
finite numbers spoils its own slices only. Alone or among others, a run's logits are equal to 1e-5:
where in a tensor a number lies may change how it is rounded, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.core.errors import InputError
from benchmark.core.finetune.architecture import architecture_of
from benchmark.core.finetune.batches import training_batches
from benchmark.core.finetune.engine import decays
from benchmark.core.finetune.pretrained import Pretrained
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.seeding import numpy_generator, seed_of

MASK_STEPS = 16  # steps whose dropout is drawn in one call: a constant, so that runs share nothing


@dataclass(frozen=True)
class Head:
    """What stands between a body's hidden states and the logits.

    Attributes
    ----------
    dense, activation : the layer before the classifier; `dense` is None where it is part of the
        pretrained body (BERT's pooler, if the checkpoint has one), so that features come after it.
    classifier : the last layer.
    drops_features : whether dropout precedes `dense`. It always precedes `classifier`.
    place : which token's hidden state is read: 0, or -1 for XLNet.
    pooler : the pretrained layer that is applied to a hidden state once, where `dense` is None.
    """

    dense: nn.Linear | None
    activation: Callable[[torch.Tensor], torch.Tensor]
    classifier: nn.Linear
    drops_features: bool
    place: int
    pooler: nn.Linear | None = None

    @classmethod
    def of(cls, pretrained: Pretrained) -> Head:
        """Find the head of a checkpoint: all that trains when the body is frozen.

        Raises `InputError` for an architecture whose head is not known, or a checkpoint that lacks
        weights within its body: features of an untrained body would mean nothing.
        """
        model = pretrained.model
        known = architecture_of(model)
        if known is not None:
            found = cls(
                known.dense, known.head_activation, known.classifier, known.drops_features, 0
            )
        elif type(model).__name__ == "XLNetForSequenceClassification":
            found = cls(model.sequence_summary.summary, torch.tanh, model.logits_proj, False, -1)
        else:
            raise InputError(f"recipe=frozen does not know the head of {type(model).__name__}")
        names = {id(p): name for name, p in model.named_parameters()}
        inner = {names[id(p)] for p in found.classifier.parameters()}
        dense = {names[id(p)] for p in found.dense.parameters()}  # type: ignore[union-attr]
        if dense & pretrained.fresh:
            inner |= dense
        else:
            found = replace(found, dense=None, pooler=found.dense, drops_features=False)
        if lacking := sorted(pretrained.fresh - inner):
            raise InputError(
                f"recipe=frozen needs a whole pretrained body; the checkpoint lacks {lacking[0]}"
            )
        return found

    @property
    def layers(self) -> dict[str, nn.Linear]:
        """The layers that train, by name."""
        layers = {} if self.dense is None else {"dense": self.dense}
        return {**layers, "classifier": self.classifier}


@dataclass(frozen=True)
class Trainee:
    """One run's part of a stack: features (n, d), class probabilities (n, C), the run's seed."""

    features: torch.Tensor
    targets: torch.Tensor
    seed: int


@dataclass(frozen=True)
class TrainedHeads:
    """What training gave.

    Attributes
    ----------
    weights : by name, shape (runs, inputs, outputs) or (runs, outputs).
    losses : of each run at the last step.
    broken : the step, from 1, at which a run's loss was first not finite; else 0.
    """

    head: Head
    weights: dict[str, torch.Tensor]
    losses: np.ndarray
    broken: np.ndarray

    @torch.no_grad()
    def logits(self, run: int, features: torch.Tensor) -> np.ndarray:
        """Logits (n, C) of one run, computed by the same calls whoever its neighbours were."""
        x = features
        if self.head.dense is not None:
            x = torch.addmm(self.weights["dense.bias"][run], x, self.weights["dense.weight"][run])
            x = self.head.activation(x)
        bias, weight = self.weights["classifier.bias"][run], self.weights["classifier.weight"][run]
        return torch.addmm(bias, x, weight).numpy()


def train_heads(
    head: Head,
    initial: Sequence[dict[str, torch.Tensor]],
    recipe: Recipe,
    trainees: Sequence[Trainee],
) -> TrainedHeads:
    """Train one head per trainee with `recipe`, in float32; all have equally many rows.

    `initial` holds each run's first weights, as layers have them. Batches are those of the whole
    model's training; the dropout of a run is drawn from a stream of its own. One thread does it
    all: the tensors of a step are small, and sums are then cut up in one way everywhere.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _train(head, initial, recipe, trainees)
    finally:
        torch.set_num_threads(threads)


def _train(
    head: Head,
    initial: Sequence[dict[str, torch.Tensor]],
    recipe: Recipe,
    trainees: Sequence[Trainee],
) -> TrainedHeads:
    weights = {
        name: nn.Parameter(torch.stack([_product_form(one[name]) for one in initial]))
        for name in initial[0]
    }
    optimiser = torch.optim.AdamW(
        [
            {"params": [p], "weight_decay": recipe.weight_decay if decays(name, p[0]) else 0.0}
            for name, p in weights.items()
        ],
        lr=0.0,
        fused=True,
    )
    n, runs = len(trainees[0].features), torch.arange(len(trainees))
    size = recipe.rows_per_step(n)
    sets, set_of_run = _distinct([one.features for one in trainees])
    labels, labels_of_run = _distinct([one.targets for one in trainees])
    orders = [_order(n, size, recipe.steps, one.seed) for one in trainees]
    widths = [sets.shape[2]] * head.drops_features + [head.classifier.in_features]
    drops = [_Dropout(recipe, size, widths, one.seed) for one in trainees]
    losses = torch.full((len(trainees),), torch.nan)
    broken = torch.zeros(len(trainees), dtype=torch.int64)
    for step in range(recipe.steps):
        rows = torch.from_numpy(np.stack([order[step] for order in orders]))
        masks = [torch.stack(kind) for kind in zip(*(d.masks(step) for d in drops), strict=True)]
        x = sets[set_of_run[:, None], rows]
        targets = labels[labels_of_run[:, None], rows]
        logits = _forward(head, weights, x, masks)
        each = -(targets * logits.log_softmax(dim=2)).sum(dim=2).mean(dim=1)
        losses = each.detach()
        broken[(broken == 0) & ~losses.isfinite()] = step + 1
        optimiser.zero_grad(set_to_none=True)
        each.sum().backward()
        _clip(list(weights.values()), recipe.clip, runs)
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        optimiser.step()
    plain = {name: p.detach() for name, p in weights.items()}
    return TrainedHeads(head, plain, losses.numpy(), broken.numpy())


def _product_form(weight: torch.Tensor) -> torch.Tensor:
    """Inputs by outputs, so that a step's products and gradients need no transposed copies."""
    return weight.T.contiguous() if weight.ndim == 2 else weight


def _forward(
    head: Head, weights: dict[str, Any], x: torch.Tensor, masks: list[torch.Tensor]
) -> torch.Tensor:
    """Logits (runs, rows, C) of features (runs, rows, d)."""
    left = list(masks)
    if head.dense is not None:
        if head.drops_features and left:
            x = x * left.pop(0)
        bias, weight = weights["dense.bias"][:, None], weights["dense.weight"]
        x = head.activation(torch.baddbmm(bias, x, weight))
    if left:
        x = x * left.pop(0)
    bias, weight = weights["classifier.bias"][:, None], weights["classifier.weight"]
    return torch.baddbmm(bias, x, weight)


@torch.no_grad()
def _clip(parameters: Sequence[nn.Parameter], most: float, runs: torch.Tensor) -> None:
    """`clip_grad_norm_` for each run by itself."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
    factors = (most / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(len(runs), *[1] * (gradient.ndim - 1)))


def _order(n: int, size: int, steps: int, seed: int) -> np.ndarray:
    """Rows of each step, shape (steps, size): the stream that training the whole model reads."""
    rng = numpy_generator(seed_of("batch-order", seed=seed))
    return np.stack(list(training_batches(n, size, steps, rng)))


def _distinct(arrays: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack arrays, each object once; returns the stack and each one's place in it."""
    places: dict[int, int] = {}
    kept = []
    for array in arrays:
        if id(array) not in places:
            places[id(array)] = len(kept)
            kept.append(array)
    return torch.stack(kept), torch.tensor([places[id(array)] for array in arrays])


class _Dropout:
    """Scaled keep-masks of one run, (size, width) for each place that drops, drawn in blocks."""

    def __init__(self, recipe: Recipe, size: int, widths: Sequence[int], seed: int) -> None:
        self.dropped = round(recipe.dropout * 2**16)
        self.shapes = [(size, width) for width in widths]
        self.rng = numpy_generator(seed_of("head-dropout", seed=seed))
        self.block: list[torch.Tensor] = []

    def masks(self, step: int) -> list[torch.Tensor]:
        """The masks of `step`; steps are asked for in order. None at all if nothing is dropped."""
        if not self.dropped:
            return []
        if step % MASK_STEPS == 0:
            scale = 0.0 if self.dropped == 2**16 else 1 / (1 - self.dropped / 2**16)
            self.block = [
                torch.from_numpy(
                    self.rng.integers(0, 2**16, (MASK_STEPS, *shape), dtype=np.uint16)
                    >= self.dropped
                ).float()
                * scale
                for shape in self.shapes
            ]
        return [mask[step % MASK_STEPS] for mask in self.block]
