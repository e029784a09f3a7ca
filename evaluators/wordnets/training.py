"""Train many runs side by side, then predict the test texts with all of them.

What is shared: the optimiser's step over all weights at once, the loss and the last layer, one
backward pass, and at evaluation the word vectors of each batch. What is not: the convolutions and
the LSTM, which are called run by run. On one core a step with batched matrix products over the
runs took as long for convolutions over 24 words and twice as long over 128; an LSTM's forward pass
took two to three times as long as oneDNN's kernel called in a loop. So a run is computed by the
same calls on the same shapes whoever its neighbours are.

Everything runs on the CPU. Training uses one thread: batches are too small for more, and sums over
rows are then cut up in one way everywhere. Evaluation gives each thread batches of its own, which
takes no barrier between threads and changes no result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmark.core.finetune.batches import evaluation_batches
from benchmark.core.seeding import numpy_generator, seed_of, torch_generator
from benchmark.core.wordnets.networks import LAST_LAYER, Batch, Network
from benchmark.core.wordnets.stack import Stack
from benchmark.core.words import Texts

POSITIONS = 4096  # of an evaluation batch: its activations stay in a core's cache


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: AdamW on every weight, the rate falling linearly to 0.

    Attributes
    ----------
    epochs : passes over the set.
    learning_rate : rate of the first step.
    batch_size : rows a step; the last batch of an epoch may be shorter.
    weight_decay : decoupled, on every weight.
    dropout : probability of a feature to be dropped.
    """

    epochs: int
    learning_rate: float
    batch_size: int
    weight_decay: float
    dropout: float

    def steps(self, n_rows: int) -> int:
        """Optimiser steps on a set of `n_rows`."""
        return self.epochs * -(-n_rows // self.batch_size)

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of step `step`, counted from 0."""
        return self.learning_rate * (1.0 - step / steps)


@dataclass
class Examples:
    """One run's set, ready to be cut into batches: texts, class probabilities (n, C), a seed."""

    texts: Texts
    targets: torch.Tensor
    seed: int
    shortest: int
    _whole: Batch | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        ids, lengths = self.texts.padded(np.arange(len(self.texts)), self.shortest)
        self._ids, self._lengths = torch.from_numpy(ids), torch.from_numpy(lengths)
        self._table = torch.from_numpy(self.texts.table)

    def batch(self, rows: torch.Tensor) -> Batch:
        """The texts at `rows`, padded to the longest of them."""
        if len(rows) == len(self._ids):
            if self._whole is None:
                self._whole = Batch.of(self._ids, self._lengths, self._table)
            return self._whole
        lengths = self._lengths[rows]
        width = max(self.shortest, int(lengths.max()))
        return Batch.of(self._ids[rows, :width], lengths, self._table)

    def epochs(self, count: int, batch_size: int) -> Iterator[torch.Tensor]:
        """Rows of each batch, in an order of the run's own; a single batch is the whole set."""
        n = len(self._ids)
        generator = numpy_generator(seed_of("batch-order", seed=self.seed))
        for _ in range(count):
            if n <= batch_size:
                yield torch.arange(n)
                continue
            order = torch.from_numpy(generator.permutation(n))
            yield from order.split(batch_size)


@dataclass(frozen=True)
class Trained:
    """Weights of runs, the loss of each at the last step, and the step (from 1) that broke it."""

    stack: Stack
    losses: np.ndarray
    broken: np.ndarray


def train(network: Network, recipe: Recipe, examples: Sequence[Examples]) -> Trained:
    """Train a network per set; the sets have equally many rows.

    A run draws its weights and its dropout from one generator and its batches from another, both
    seeded by its own seed alone. A run whose loss is not finite is marked; the others go on.
    """
    with _one_thread():
        return _train(network, recipe, examples)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(network: Network, recipe: Recipe, examples: Sequence[Examples]) -> Trained:
    n, classes = examples[0].targets.shape
    generators = [torch_generator(seed_of("word-network", seed=one.seed)) for one in examples]
    shapes = network.all_shapes(examples[0].texts.table.shape[1], classes)
    stack = Stack(shapes, generators)
    dropouts = [_dropout(recipe.dropout, generator) for generator in generators]
    optimiser = torch.optim.AdamW(
        [stack.values], lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    steps = recipe.steps(n)
    orders = zip(*(one.epochs(recipe.epochs, recipe.batch_size) for one in examples), strict=True)
    losses = torch.zeros(len(examples))
    broken = torch.zeros(len(examples), dtype=torch.int64)
    for step, batches in enumerate(orders):
        optimiser.param_groups[0]["lr"] = recipe.rate(step, steps)
        features = [
            dropout(network.features(weights, one.batch(rows), dropout))
            for one, rows, weights, dropout in zip(
                examples, batches, stack.of_run, dropouts, strict=True
            )
        ]
        last, bias = map(stack.all, LAST_LAYER)
        logits = torch.baddbmm(bias, torch.stack(features), last)
        targets = torch.stack(
            [one.targets[rows] for one, rows in zip(examples, batches, strict=True)]
        )
        each = -(targets * logits.log_softmax(dim=2)).sum(dim=2).mean(dim=1)
        stack.values.grad.zero_()
        each.sum().backward()  # each run's own gradient: its weights are in no other term
        optimiser.step()
        losses = each.detach()
        broken[(broken == 0) & ~losses.isfinite()] = step + 1
    return Trained(stack, losses.numpy(), broken.numpy())


def predict(network: Network, stack: Stack, runs: Sequence[int], texts: Texts) -> np.ndarray:
    """Logits (runs, texts, classes) of these runs; a batch's words are looked up once for all."""
    table = torch.from_numpy(texts.table)
    weights = [{name: leaf.detach() for name, leaf in stack.of_run[run].items()} for run in runs]
    classes = stack.of_run[0][LAST_LAYER[1]].shape[1]
    logits = np.empty((len(runs), len(texts), classes), dtype=np.float32)

    @torch.no_grad()
    def fill(rows: np.ndarray) -> None:
        ids, lengths = texts.padded(rows, network.shortest)
        batch = Batch.of(torch.from_numpy(ids), torch.from_numpy(lengths), table)
        for place, of_run in enumerate(weights):
            last, bias = (of_run[name] for name in LAST_LAYER)
            features = network.features(of_run, batch, _nothing)
            logits[place, rows] = torch.addmm(bias, features, last).numpy()

    lengths = np.maximum(texts.words.lengths, network.shortest)
    threads = torch.get_num_threads()
    with _one_thread(), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, evaluation_batches(lengths, POSITIONS)):
            pass
    return logits


def _dropout(
    probability: float, generator: torch.Generator
) -> Callable[[torch.Tensor], torch.Tensor]:
    def drop(x: torch.Tensor) -> torch.Tensor:
        if not probability:
            return x
        kept = torch.empty(x.shape).bernoulli_(1.0 - probability, generator=generator)
        return x * kept.div_(1.0 - probability)

    return drop


def _nothing(x: torch.Tensor) -> torch.Tensor:
    return x
