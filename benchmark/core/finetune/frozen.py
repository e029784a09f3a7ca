"""The recipe `frozen`: each text is encoded once, and the heads of all runs train side by side.

The pretrained body never changes, so the hidden state that the head reads is a fixed feature of a
text. It is computed without dropout; dropout acts within the head alone, which is what training
with the body in evaluation mode and `requires_grad=False` gives.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmark.core.distilled import DistilledSet
from benchmark.core.finetune.batches import evaluation_batches
from benchmark.core.finetune.engine import TOKEN_BUDGET
from benchmark.core.finetune.heads import Head, Trainee, train_heads
from benchmark.core.finetune.pretrained import Pretrained, held
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.tokens import Padding, Ragged, tokenise
from benchmark.core.learner import Outcome, Run, TestTexts
from benchmark.core.precision import autocast
from benchmark.core.seeding import isolated_torch_rng

MOST_FLOATS = 2**27
"""Weights, their gradients and moments, and masks that a stack of heads may hold."""


def frozen_outcomes(
    runs: Sequence[Run],
    test: TestTexts,
    folder: Path,
    recipe_of: dict[int, Recipe],
    max_length: int,
) -> Iterator[Outcome]:
    """Train a head on each run's set; one outcome per run, in order.

    `recipe_of` maps a number of rows to its recipe. Runs whose sets have equally many rows train
    together. Test features are kept in `test.scratch`; their cost is in no run's seconds.
    """
    features = _test_features(test, folder, recipe_of, max_length)
    done: dict[int, Outcome] = {}
    for i, run in enumerate(runs):
        if i not in done:
            n = len(run.distilled)
            alike = [
                j for j in range(i, len(runs)) if j not in done and len(runs[j].distilled) == n
            ]
            pretrained = held(folder, len(test.classes))
            group = alike[: _runs_at_once(Head.of(pretrained), recipe_of[n], n)]
            started = time.perf_counter()
            sets = {runs[j].distilled.content_hash: runs[j].distilled for j in group}
            tokens = [
                tokenise(pretrained.tokenizer, distilled.columns or {}, max_length)
                for distilled in sets.values()
            ]
            encoded = encode(pretrained, tokens, recipe_of[n].precision)
            inputs = {
                key: (features_of_set, _probabilities(distilled))
                for (key, distilled), features_of_set in zip(sets.items(), encoded, strict=True)
            }
            trainees = [
                Trainee(*inputs[runs[j].distilled.content_hash], runs[j].seed) for j in group
            ]
            found = _outcomes(pretrained, recipe_of[n], trainees, features, started)
            done.update(zip(group, found, strict=True))
        yield done.pop(i)


def _outcomes(
    pretrained: Pretrained,
    recipe: Recipe,
    trainees: Sequence[Trainee],
    features: torch.Tensor,
    started: float,
) -> Iterator[Outcome]:
    head = Head.of(pretrained)
    initial = [initial_head(pretrained, head, one.seed) for one in trainees]
    trained = train_heads(head, initial, recipe, trainees)
    seconds = (time.perf_counter() - started) / len(trainees)
    for run in range(len(trainees)):
        if trained.broken[run]:
            step = f"step {trained.broken[run]} of {recipe.steps}"
            yield Outcome(
                None, seconds, error=f"DivergedError: the loss left the finite numbers at {step}"
            )
            continue
        at = time.perf_counter()
        logits = trained.logits(run, features)
        predicting = time.perf_counter() - at
        if np.isfinite(logits).all():
            extra = {"last_loss": float(trained.losses[run])}
            yield Outcome(logits, seconds, predicting, extra=extra)
        else:
            why = "DivergedError: the trained head gives logits that are not finite"
            yield Outcome(None, seconds, predicting, error=why)


def _probabilities(distilled: DistilledSet) -> torch.Tensor:
    """Labels as class probabilities (n, C)."""
    if distilled.is_soft:
        return torch.from_numpy(np.array(distilled.labels))
    return torch.eye(len(distilled.classes))[torch.from_numpy(np.array(distilled.labels))]


def initial_head(pretrained: Pretrained, head: Head, seed: int) -> dict[str, torch.Tensor]:
    """The head that training the whole model would have begun with, drawn from the run's seed."""
    with isolated_torch_rng(seed):
        pretrained.draw_head()
    return {
        f"{layer}.{name}": parameter.detach().cpu().clone()
        for layer, module in head.layers.items()
        for name, parameter in module.named_parameters()
    }


@torch.no_grad()
def encode(pretrained: Pretrained, parts: Sequence[Ragged], precision: str) -> list[torch.Tensor]:
    """Features (n, d) of each part that the head reads: pretrained weights, no dropout; on the CPU.

    No batch spans two parts, so that a set's features do not depend on other sets. One autocast
    serves all, as it casts each weight once.
    """
    with isolated_torch_rng(0):  # another run may have left trained weights
        pretrained.reset()
    head, model = Head.of(pretrained), pretrained.model.eval()
    device = next(model.parameters()).device
    padding = Padding.of(pretrained.tokenizer)
    width = (head.dense or head.classifier).in_features
    encoded = [torch.empty(len(part), width) for part in parts]
    with autocast(precision, device):
        for part, features in zip(parts, encoded, strict=True):
            for rows in evaluation_batches(part.lengths, TOKEN_BUDGET):
                inputs = padding.apply(part.take(rows))
                tensors = {name: torch.from_numpy(a).to(device) for name, a in inputs.items()}
                x = model.base_model(**tensors)[0][:, head.place]
                if head.pooler is not None:
                    x = head.activation(head.pooler(x))
                features[torch.from_numpy(rows)] = x.float().cpu()
    return encoded


def _test_features(
    test: TestTexts, folder: Path, recipe_of: dict[int, Recipe], max_length: int
) -> torch.Tensor:
    precision = next(iter(recipe_of.values())).precision
    key = ("frozen features", str(folder), max_length, precision)
    if key not in test.scratch:
        pretrained = held(folder, len(test.classes))
        tokens = tokenise(pretrained.tokenizer, test.columns, max_length)
        (test.scratch[key],) = encode(pretrained, [tokens], precision)
    return test.scratch[key]


def _runs_at_once(head: Head, recipe: Recipe, n_rows: int) -> int:
    weights = sum(p.numel() for layer in head.layers.values() for p in layer.parameters())
    rows = recipe.rows_per_step(n_rows)
    width = sum(layer.in_features for layer in head.layers.values())
    return max(1, MOST_FLOATS // (4 * weights + 24 * rows * width))
