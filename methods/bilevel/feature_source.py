"""A network on frozen features as learner of the bi-level engine, with an adversary beside it."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmark.core.feature_network import FeatureNetwork
from benchmark.core.finetune.embedded import EmbeddedRows, Weights
from methods.bilevel.source import Source

ADVERSARY_STEPS, ADVERSARY_RATE = 20, 0.1


class FeatureSource(Source):
    """The outer loss is that of the classes, less `adversary` times that of the groups.

    The groups are told from the hidden units by a linear classifier that is fitted to the batch
    before it is asked, so that an outer step depends on nothing but its own draw and a killed
    optimisation resumes exactly. Once it does no better than chance there is nothing more to hide:
    its loss counts up to the logarithm of the number of groups.
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
    """Cross-entropy of a linear classifier of groups, fitted to these rows and then held fixed.

    `hidden` (n, h) leads to a graph, `groups` (n,) are numbers. At most log(number of groups).
    """
    n_groups = int(groups.max()) + 1
    mean, spread = hidden.detach().mean(0), hidden.detach().std(0) + 1e-3
    inputs = (hidden - mean) / spread
    weight = torch.zeros(n_groups, hidden.shape[1], requires_grad=True)
    bias = torch.zeros(n_groups, requires_grad=True)
    optimiser = torch.optim.Adam([weight, bias], ADVERSARY_RATE)
    for _ in range(ADVERSARY_STEPS):
        optimiser.zero_grad()
        with torch.enable_grad():
            cross_entropy(torch.addmm(bias, inputs.detach(), weight.T), groups).backward()
        optimiser.step()
    found = cross_entropy(torch.addmm(bias.detach(), inputs, weight.detach().T), groups)
    return found.clamp(max=math.log(max(2, len(groups.unique()))))
