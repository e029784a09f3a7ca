"""Small networks on word vectors as learners of the bi-level engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmark.core.errors import InputError
from benchmark.core.finetune.embedded import EmbeddedRows, Weights
from benchmark.core.wordnets.embedded import EmbeddedNetwork
from benchmark.core.wordnets.networks import Convolutions, Network, Recurrence
from benchmark.core.words import held
from methods.bilevel.source import Source


class WordSource(Source):
    """A network with weights drawn from a seed; the word vectors are held fixed."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        columns: Mapping[str, Sequence[str]],
        labels: np.ndarray,
        n_classes: int,
        max_length: int,
    ) -> None:
        try:
            vectors = held(folder)
        except InputError as error:
            raise InputError(
                f"{error}. Name word vectors of the catalogue as `learner`, such as glove-50d"
            ) from error
        self.texts = vectors.read(columns, max_length)
        self.width = self.texts.table.shape[1]
        self.network = EmbeddedNetwork(network, self.width, n_classes)
        self.labels = torch.from_numpy(np.array(labels))

    def start(self, seed: int) -> Weights:
        return self.network.start(seed)

    def loss(self, weights: Weights, rows: EmbeddedRows) -> torch.Tensor:
        return self.network.loss(weights, rows)

    def outer(self, weights: Weights, rows: np.ndarray) -> tuple[float, Weights]:
        given = {name: w.detach().requires_grad_() for name, w in weights.items()}
        logits = self.network.logits(given, self.network.batch(self.texts, rows))
        loss = cross_entropy(logits, self.labels[rows])
        found = torch.autograd.grad(loss, list(given.values()))
        return float(loss.detach()), dict(zip(given, found, strict=True))

    def scores(self, weights: Weights, rows: np.ndarray) -> np.ndarray:
        return self.network.predict(weights, self.texts, rows)


def network_of(name: str) -> Network:
    """The network of the learner `text-cnn` or `text-rnn`, at that learner's own size."""
    if name == "text-cnn":
        return Convolutions(100, (3, 4, 5))
    return Recurrence(100, 1)
