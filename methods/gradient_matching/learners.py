"""Learners to match gradients on: trained on real rows, their states banked and reused.

A trajectory depends on the pool and its seed only, never on the generator: it is trained once, and
all outer loops, variants and ablations read its states from disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmark.core.errors import BenchmarkError
from benchmark.core.finetune.batches import evaluation_batches
from benchmark.core.finetune.engine import TOKEN_BUDGET
from benchmark.core.finetune.engines import engine_for
from benchmark.core.finetune.pretrained import held
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.tokens import Ragged, tokenise
from benchmark.core.freed_memory import give_back
from benchmark.core.pool import Pool
from benchmark.core.seeding import isolated_torch_rng, numpy_generator, seed_of
from methods.gradient_matching.closed_form import LastLayer

MAX_LENGTH = 512


class MatchingLearner:
    """A classifier whose states can be put back, and read as its last layer sees rows."""

    def __init__(self, folder: Path, n_classes: int, recipe: Recipe) -> None:
        self.pretrained = held(folder, n_classes)
        self.engine = engine_for(self.pretrained)
        self.recipe = recipe

    def tokens(self, columns: Mapping[str, Sequence[str]]) -> Ragged:
        """Tokenise texts for this learner."""
        return tokenise(self.pretrained.tokenizer, columns, MAX_LENGTH)

    def train(self, rows: Ragged, labels: np.ndarray, seed: int, states: int, every: int):
        """Yield the weights at the start and after every `every` steps, `states` times in all.

        A new head is drawn from the seed; batches are random real rows.
        """
        order = numpy_generator(seed_of("trajectory-batches", seed=seed))
        target = torch.from_numpy(np.array(labels))
        with isolated_torch_rng(seed):
            self.engine.begin(self.recipe, rows)
            for state in range(states):
                yield self.engine.weights()
                for step in range(state * every, (state + 1) * every if state < states - 1 else 0):
                    size = self.recipe.rows_per_step(len(rows))
                    batch = order.choice(len(rows), size, replace=False)
                    rate = self.recipe.rate(step)
                    loss = self.engine.step(rows.take(batch), target[batch], rate)
                if state < states - 1 and not bool(loss.isfinite()):
                    raise BenchmarkError(
                        f"the learner's loss became {float(loss)} by step {(state + 1) * every} "
                        f"of {self.recipe.steps}; it cannot be matched on"
                    )

    def begin(self, rows: Ragged) -> None:
        """Make the engine ready to take states."""
        with isolated_torch_rng(0):
            self.engine.begin(self.recipe, rows)

    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Put a state's weights into the live model."""
        self.engine.restore(weights)

    def last_layer(self, rows: Ragged, labels: np.ndarray) -> LastLayer:
        """What the last layer reads and gets wrong for each row, without dropout."""
        features, logits = self.head_inputs(rows)
        return LastLayer.of(features, logits, torch.from_numpy(np.array(labels)))

    def head_inputs(self, rows: Ragged) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs (n, d) and outputs (n, C) of the last layer, float32, on the CPU."""
        inputs: torch.Tensor | None = None
        for batch in evaluation_batches(rows.lengths, TOKEN_BUDGET):
            part, logits = self.engine.head_inputs(rows.take(batch))
            if inputs is None:
                inputs = torch.empty(len(rows), part.shape[1])
                outputs = torch.empty(len(rows), logits.shape[1])
            inputs[batch], outputs[batch] = part, logits
        assert inputs is not None
        return inputs, outputs


class Bank:
    """Trajectories on disk: one file each, `states` sets of weights in bfloat16.

    The body at the start is the pretrained one, so that only its head is kept.
    """

    def __init__(self, folder: Path, learner: MatchingLearner, states: int) -> None:
        self.folder = folder
        self.learner = learner
        self.states = states

    def fill(
        self,
        count: int,
        pool: Pool,
        every: int,
        seed: int,
        report: Callable[[int, int], None],
    ) -> None:
        """Train the trajectories that are missing."""
        from safetensors.torch import save_file

        rows = None
        for index in range(count):
            report(index, count)
            path = self._path(index)
            if path.exists():
                continue
            rows = self.learner.tokens(pool.texts()) if rows is None else rows
            tensors = {}
            states = self.learner.train(
                rows, pool.labels, seed_of("trajectory", seed=seed, index=index), self.states, every
            )
            for number, weights in enumerate(states):
                for name, value in weights.items():
                    if number or name in self.learner.pretrained.fresh:
                        tensors[f"{number}/{name}"] = value.to(torch.bfloat16).cpu()
                give_back()
            temporary = path.with_name(f".{path.name}.new")
            save_file(tensors, temporary)
            os.replace(temporary, path)
        report(count, count)

    def load(self, index: int, state: int) -> None:
        """Put one state into the learner."""
        from safetensors import safe_open

        pretrained = self.learner.pretrained
        with safe_open(self._path(index), "pt") as file:
            names = dict(pretrained.model.named_parameters())
            self.learner.restore(
                {
                    name: pretrained.weights[name]
                    if state == 0 and name not in pretrained.fresh
                    else file.get_tensor(f"{state}/{name}")
                    for name in names
                }
            )

    def _path(self, index: int) -> Path:
        return self.folder / f"trajectory-{index}.safetensors"
