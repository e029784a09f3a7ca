"""A small network on frozen features, as a function of its weights; twice differentiable.

Methods distil into its input space and a learner trains it, so that it lies below both.
"""

from __future__ import annotations

import torch

from benchmark.core.finetune.embedded import EmbeddedRows, Weights
from benchmark.core.seeding import seed_of, torch_generator


def network_name(encoder: str, hidden: int) -> str:
    """What a set of features is made for: the encoder and the network that reads it."""
    return f"{encoder} features, {hidden} hidden"


class FeatureNetwork:
    """One hidden layer of rectified units between features (n, d) and logits (n, C)."""

    def __init__(self, width: int, hidden: int, n_classes: int) -> None:
        self.width, self.hidden, self.n_classes = width, hidden, n_classes

    def start(self, seed: int) -> Weights:
        """Draw weights as PyTorch's linear layers do, uniform within 1 / sqrt(inputs)."""
        generator = torch_generator(seed_of("feature-network", seed=seed))
        shapes = {
            "hidden.weight": (self.hidden, self.width),
            "hidden.bias": (self.hidden,),
            "output.weight": (self.n_classes, self.hidden),
            "output.bias": (self.n_classes,),
        }
        inputs = {"hidden": self.width, "output": self.hidden}
        return {
            name: torch.empty(shape).uniform_(
                -(inputs[name.partition(".")[0]] ** -0.5),
                inputs[name.partition(".")[0]] ** -0.5,
                generator=generator,
            )
            for name, shape in shapes.items()
        }

    def represent(self, weights: Weights, features: torch.Tensor) -> torch.Tensor:
        """The hidden units, shape (n, hidden)."""
        return torch.addmm(weights["hidden.bias"], features, weights["hidden.weight"].T).relu()

    def classify(self, weights: Weights, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (n, C) of hidden units."""
        return torch.addmm(weights["output.bias"], hidden, weights["output.weight"].T)

    def logits(self, weights: Weights, features: torch.Tensor) -> torch.Tensor:
        """Logits (n, C) of features."""
        return self.classify(weights, self.represent(weights, features))

    def loss(self, weights: Weights, rows: EmbeddedRows) -> torch.Tensor:
        """Mean cross-entropy with the targets; a row of features is an embedding of length 1."""
        logits = self.logits(weights, rows.embeddings[:, 0])
        return -(rows.targets * logits.log_softmax(1)).sum(1).mean()
