"""A network on frozen features as learner of the bi-level engine, with an adversary beside it."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmark.core.feature_network import FeatureNetwork
from benchmark.core.finetune.embedded import EmbeddedRows, Weights
from methods.bilevel.source import Source

ADVERSARY_STEPS = 10


class FeatureSource(Source):
    """The outer loss is that of the classes, less `adversary` times that of the groups.

    The groups are told from the hidden units by linear classifiers, each fitted to one half of the
    batch and asked about the other, so that an outer step depends on nothing but its own draw and a
    killed optimisation resumes exactly. Once they do no better than chance there is nothing more to
    hide: their loss counts up to the entropy of the groups in the batch.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        features: np.ndarray,
        labels: np.ndarray,
        groups: np.ndarray | None,
        adversary: float,
    ) -> None:
        self.network, self.width, self.adversary = network, network.width, adversary
        self.features = torch.from_numpy(np.array(features, dtype=np.float32))
        self.labels = torch.from_numpy(np.array(labels))
        self.groups = None if groups is None else torch.from_numpy(np.array(groups))

    def start(self, seed: int) -> Weights:
        return self.network.start(seed)

    def loss(self, weights: Weights, rows: EmbeddedRows) -> torch.Tensor:
        return self.network.loss(weights, rows)

    def outer(self, weights: Weights, rows: np.ndarray) -> tuple[float, Weights]:
        given = {name: w.detach().requires_grad_() for name, w in weights.items()}
        hidden = self.network.represent(given, self.features[rows])
        loss = cross_entropy(self.network.classify(given, hidden), self.labels[rows])
        if self.adversary and self.groups is not None:
            loss = loss - self.adversary * group_loss(hidden, self.groups[rows])
        found = torch.autograd.grad(loss, list(given.values()))
        return float(loss.detach()), dict(zip(given, found, strict=True))

    @torch.no_grad()
    def scores(self, weights: Weights, rows: np.ndarray) -> np.ndarray:
        return self.network.logits(weights, self.features[rows]).numpy()


def group_loss(hidden: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of linear classifiers of groups on rows that they were not fitted to.

    Every other row is classified by what the rows between have taught, and the other way round: a
    classifier of 300 units would tell 256 rows apart by their noise alone. It knows the share of
    each group beforehand, so that it can't do worse than chance by guessing them.

    `hidden` (n, h) leads to a graph, through the rows that are classified; classifiers are held
    fixed. `groups` (n,) are numbers. At most the entropy of the groups in these rows: with more the
    hidden units would be pushed towards what misleads one particular classifier.
    """
    groups = groups.unique(return_inverse=True)[1]
    shares = torch.bincount(groups) / len(groups)
    chance = float(-(shares * shares.log()).sum())
    mean, spread = hidden.detach().mean(0), hidden.detach().std(0) + 1e-3
    inputs = torch.cat([(hidden - mean) / spread, torch.ones(len(hidden), 1)], 1)
    total = torch.zeros(())
    for first in (0, 1):
        fitted, asked = slice(first, None, 2), slice(1 - first, None, 2)
        weight = _fit(inputs[fitted].detach(), groups[fitted], shares)
        logits = inputs[asked] @ weight + shares.log()
        total = total + cross_entropy(logits, groups[asked], reduction="sum")
    return (total / len(groups)).clamp(max=chance)


@torch.no_grad()
def _fit(inputs: torch.Tensor, groups: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Weights (h, groups) of a logistic regression with L2, beside the logarithm of the shares.

    The penalty is the number of inputs for each row: as strong as their noise, which leaves a group
    that few inputs among many rows tell to be found. Steps are Newton's with Böhning's bound in
    place of the second derivative (Böhning, 1992): one factor for all of them, no rate to choose;
    taken on the rows' multipliers, of which there are fewer than inputs.
    """
    n = len(inputs)
    penalty = inputs.shape[1] / n
    products, targets = inputs @ inputs.T, torch.eye(len(shares))[groups]
    factor = torch.linalg.cholesky(products / (2 * n) + penalty * torch.eye(n))
    multipliers = torch.zeros(n, len(shares))
    for _ in range(ADVERSARY_STEPS):
        errors = (products @ multipliers + shares.log()).softmax(1) - targets
        multipliers -= torch.cholesky_solve(errors / n + penalty * multipliers, factor)
    return inputs.T @ multipliers
