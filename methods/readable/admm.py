"""Alternating directions: embeddings whose gradient is the real one's, held to readable tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import torch_generator
from methods.gradient_matching.closed_form import mean_cosine
from methods.readable.learners import GradientLearner
from methods.readable.projection import Projector


@dataclass(frozen=True)
class ADMMPlan:
    """How a batch of rows is optimised.

    Attributes
    ----------
    outer_steps : rounds of primal step, projection and dual step.
    inner_steps : Adam steps of a primal step; its moments live on through all rounds.
    learning_rate : Adam's; the gradient's norm is clipped at 1.
    rho : weight of the penalty.
    starts : random beginnings, of which the one with the nearest gradient is taken.
    """

    outer_steps: int
    inner_steps: int
    learning_rate: float
    rho: float
    starts: int


@dataclass(frozen=True)
class Reading:
    """What the projection's language model reads around the texts of a class."""

    before: Sequence[int]
    between: Sequence[int]


def write_rows(
    learner: GradientLearner,
    projector: Projector,
    real: torch.Tensor,
    label: int,
    shape: tuple[int, Sequence[int]],
    reading: Reading,
    plan: ADMMPlan,
    seed: int,
) -> tuple[list[torch.Tensor], float]:
    """Write a batch of rows of one class whose mean gradient points where `real` (K, d + 1) does.

    With X the embeddings, P the projection and L the dual variable, every round takes Z = P(X + L /
    rho), `inner_steps` Adam steps on

        1 - cos(gradient of X, real) + rho / 2 |X - Z + L / rho|^2,

    and L <- L + rho (X - Z) (Nguyen et al., 2025, section 4). The X with the lowest total loss is
    projected in the end.

    Parameters
    ----------
    shape : number of rows, and tokens of each text of a row.

    Returns the token ids of each text, (rows, tokens), and the cosine of the rows as written.
    Raises `BenchmarkError` when the loss is not finite.
    """
    x = [part.requires_grad_() for part in _begin(learner, real, label, shape, plan.starts, seed)]
    dual = [torch.zeros_like(part) for part in x]
    optimiser = torch.optim.Adam(x, plan.learning_rate)
    lowest, best = float("inf"), [part.detach().clone() for part in x]
    for _ in range(plan.outer_steps):
        shifted = [part.detach() + d / plan.rho for part, d in zip(x, dual, strict=True)]
        words = [learner.table[ids] for ids in projector.project(shifted, *_both(reading))]
        anchors = [w - d / plan.rho for w, d in zip(words, dual, strict=True)]
        for _ in range(plan.inner_steps):
            apart = sum(((p - a) ** 2).sum() for p, a in zip(x, anchors, strict=True))
            loss = 1.0 - mean_cosine(real, learner.layer(x, label)) + plan.rho / 2 * apart
            value = float(loss.detach())
            if not value < float("inf"):
                raise BenchmarkError(
                    f"the loss of rows of class {label} became {value}; a smaller learning_rate "
                    "or rho may help"
                )
            if value < lowest:
                lowest, best = value, [part.detach().clone() for part in x]
            for part, gradient in zip(x, torch.autograd.grad(loss, x), strict=True):
                part.grad = gradient
            nn.utils.clip_grad_norm_(x, 1.0)
            optimiser.step()
        for d, part, w in zip(dual, x, words, strict=True):
            d.add_(part.detach() - w, alpha=plan.rho)
    ids = projector.project(best, *_both(reading))
    with torch.no_grad():
        layer = learner.layer([learner.table[part] for part in ids], label)
    return ids, float(mean_cosine(real, layer))


@torch.no_grad()
def _begin(
    learner: GradientLearner,
    real: torch.Tensor,
    label: int,
    shape: tuple[int, Sequence[int]],
    starts: int,
    seed: int,
) -> list[torch.Tensor]:
    """The best of some draws from a normal distribution, vectors as long as word vectors are."""
    draws = torch_generator(seed)
    rows, lengths = shape
    width = learner.table.shape[1]
    length = learner.table.norm(dim=1).mean()
    closest, best = -float("inf"), None
    for _ in range(starts):
        free = [torch.randn(rows, tokens, width, generator=draws) for tokens in lengths]
        free = [(part / part.norm(dim=2, keepdim=True)).to(length) * length for part in free]
        cosine = float(mean_cosine(real, learner.layer(free, label)))
        if best is None or cosine > closest:
            closest, best = cosine, free
    assert best is not None
    return best


def _both(reading: Reading) -> tuple[Sequence[int], Sequence[int]]:
    return reading.before, reading.between
