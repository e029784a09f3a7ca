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
    ones = torch.ones(len(hidden), 1)
    inputs = torch.cat([(hidden - mean) / spread, ones], 1)
    with torch.no_grad():  # the gradient of a linear classifier is a product: no graph is needed
        fixed, targets = inputs.detach(), torch.eye(n_groups)[groups]
        weight = torch.zeros(inputs.shape[1], n_groups)
        first, second = torch.zeros_like(weight), torch.zeros_like(weight)
        for step in range(1, ADVERSARY_STEPS + 1):
            gradient = fixed.T @ ((fixed @ weight).softmax(1) - targets) / len(fixed)
            first = 0.9 * first + 0.1 * gradient
            second = 0.99 * second + 0.01 * gradient**2
            sizes = (second / (1 - 0.99**step)).sqrt() + 1e-8
            weight -= ADVERSARY_RATE * first / (1 - 0.9**step) / sizes
    found = cross_entropy(inputs @ weight, groups)
    return found.clamp(max=math.log(max(2, len(groups.unique()))))
