"""Networks on word vectors that read learned vectors, twice differentiable."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from benchmark.core.finetune.batches import evaluation_batches
from benchmark.core.finetune.embedded import EmbeddedRows, Weights
from benchmark.core.seeding import seed_of, torch_generator
from benchmark.core.wordnets.networks import LAST_LAYER, Batch, Network
from benchmark.core.words import Texts

POSITIONS = 4096  # of an evaluation batch: its activations stay in a core's cache


class EmbeddedNetwork:
    """A network with its last layer, weights given from outside; no dropout."""

    def __init__(self, network: Network, width: int, n_classes: int) -> None:
        self.network, self.width, self.n_classes = network, width, n_classes

    def start(self, seed: int) -> Weights:
        """Draw weights as PyTorch's layers do; those that a training with this seed begins with."""
        generator = torch_generator(seed_of("word-network", seed=seed))
        return {
            name: torch.empty(shape.size).uniform_(-shape.bound, shape.bound, generator=generator)
            for name, shape in self.network.all_shapes(self.width, self.n_classes).items()
        }

    def logits(self, weights: Weights, batch: Batch) -> torch.Tensor:
        """Compute logits (n, C)."""
        last, bias = (weights[name] for name in LAST_LAYER)
        return torch.addmm(bias, self.network.features(weights, batch, _nothing), last)

    def loss(self, weights: Weights, rows: EmbeddedRows) -> torch.Tensor:
        """Mean cross-entropy with the targets.

        The fast kernel for recurrence has no second derivative, the plain one has.
        """
        n, length = rows.embeddings.shape[:2]
        batch = Batch(rows.embeddings, torch.full((n,), length))
        with _plain_kernels() if self.network.recurrent else contextlib.nullcontext():
            logits = self.logits(weights, batch)
        return -(rows.targets * logits.log_softmax(1)).sum(1).mean()

    def batch(self, texts: Texts, rows: np.ndarray) -> Batch:
        """Real rows, padded to the longest of them."""
        ids, lengths = texts.padded(rows, self.network.shortest)
        table = torch.from_numpy(texts.table)
        return Batch.of(torch.from_numpy(ids), torch.from_numpy(lengths), table)

    @torch.no_grad()
    def predict(self, weights: Weights, texts: Texts, rows: np.ndarray | None = None) -> np.ndarray:
        """Logits (n, C) of texts, or of those at `rows`."""
        chosen = np.arange(len(texts)) if rows is None else rows
        logits = np.empty((len(chosen), self.n_classes), dtype=np.float32)
        lengths = np.maximum(texts.words.lengths[chosen], self.network.shortest)
        for at in evaluation_batches(lengths, POSITIONS):
            logits[at] = self.logits(weights, self.batch(texts, chosen[at])).numpy()
        return logits


@contextlib.contextmanager
def _plain_kernels() -> Iterator[None]:
    with warnings.catch_warnings():  # of TF32, which a CPU does not have
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def _nothing(x: torch.Tensor) -> torch.Tensor:
    return x
