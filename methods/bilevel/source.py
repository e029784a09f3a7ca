"""The learner whose training is unrolled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmark.core.errors import InputError
from benchmark.core.finetune.embedded import EmbeddedClassifier, EmbeddedRows, Weights
from benchmark.core.finetune.engines import engine_for
from benchmark.core.finetune.pretrained import held
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.tokens import Ragged, tokenise
from benchmark.core.seeding import isolated_torch_rng
from methods.bilevel.foresight import longest


class Source(ABC):
    """A learner as the bi-level engine sees it: weights from a seed, losses inside and outside."""

    width: int
    """Numbers of one input embedding."""

    @abstractmethod
    def start(self, seed: int) -> Weights:
        """Weights before the first inner step."""

    @abstractmethod
    def loss(self, weights: Weights, rows: EmbeddedRows) -> torch.Tensor:
        """Inner loss of a batch of learned rows; twice differentiable."""

    @abstractmethod
    def outer(self, weights: Weights, rows: np.ndarray) -> tuple[float, Weights]:
        """Mean cross-entropy of real rows (numbers in the pool), and its gradient."""

    @abstractmethod
    def scores(self, weights: Weights, rows: np.ndarray) -> np.ndarray:
        """Logits (n, C) of real rows."""


class TransformerSource(Source):
    """A pretrained encoder with a new head, all of it trained but the table of word embeddings.

    Real rows are packed, without padding, in bfloat16 (`precision`); the inner steps are float32.
    """

    def __init__(
        self,
        folder: Path,
        columns: Mapping[str, Sequence[str]],
        labels: np.ndarray,
        n_classes: int,
        *,
        max_length: int,
        attention_weight: float = 0.0,
        precision: str = "bfloat16",
    ) -> None:
        try:
            self.pretrained = held(folder, n_classes)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder.name} is no classifier that can be trained: "
                f"{str(error).splitlines()[0][:150]}. Name an encoder of the catalogue as `learner`"
            ) from error
        self.classifier = EmbeddedClassifier(self.pretrained.model)
        self.width = self.classifier.width
        self.attention_weight = attention_weight
        self.engine = engine_for(self.pretrained)
        self.tokens: Ragged = tokenise(self.pretrained.tokenizer, columns, max_length)
        self.labels = torch.from_numpy(np.array(labels))
        with isolated_torch_rng(0):
            self.engine.begin(Recipe(dropout=0.0, precision=precision), self.tokens.take([0]))

    @property
    def table(self) -> torch.Tensor:
        """The word embeddings, shape (vocabulary, width)."""
        return self.pretrained.weights[self.classifier.table]

    @property
    def heads(self) -> tuple[int, int]:
        """Layers and attention heads."""
        config = self.pretrained.model.config
        return config.num_hidden_layers, config.num_attention_heads

    @property
    def longest(self) -> int:
        """The most positions that a row can have."""
        return longest(self.pretrained.model.config.to_dict())

    def start(self, seed: int) -> Weights:
        with isolated_torch_rng(seed):
            self.pretrained.reset()
        self.pretrained.model.eval()
        return self.classifier.start()

    def loss(self, weights: Weights, rows: EmbeddedRows) -> torch.Tensor:
        return self.classifier.loss(weights, rows, self.attention_weight)

    def outer(self, weights: Weights, rows: np.ndarray) -> tuple[float, Weights]:
        self.engine.restore(self.classifier.whole(weights))
        value, gradient = self.engine.gradient(self.tokens.take(rows), self.labels[rows])
        return value, {name: gradient[name] for name in weights}

    def scores(self, weights: Weights, rows: np.ndarray) -> np.ndarray:
        self.engine.restore(self.classifier.whole(weights))
        return self.engine.predict(self.tokens.take(rows))

    def check_length(self, length: int) -> None:
        """Raise `InputError` if the model has no position for so long a row."""
        if length > self.longest:
            raise InputError(
                f"length is {length}; the model reads at most {self.longest} positions"
            )


def loss_and_accuracy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy and share of rows that are right."""
    loss = cross_entropy(torch.from_numpy(logits), torch.from_numpy(np.array(labels)))
    return float(loss), float((logits.argmax(1) == labels).mean())
