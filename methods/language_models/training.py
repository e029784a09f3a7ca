"""Optimiser steps on a generator: resumable, sparing of memory, stopped by what is not finite."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.core.checkpoint import Checkpoint
from benchmark.core.errors import BenchmarkError
from benchmark.core.finetune.engine import decay_groups
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.freed_memory import give_back
from benchmark.core.journal import Journal
from benchmark.core.seeding import isolated_torch_rng, seed_of

LOG_EVERY = 50
CHECKPOINT_SECONDS = 60.0
REPORT_SECONDS = 1.0

Report = Callable[[str, int, int], None]
Backward = Callable[[int], float]
"""Adds the gradients of one step, computed in so many parts, and returns the loss."""


@dataclass(frozen=True)
class Phase:
    """A phase of training: its name in journal and checkpoint, words for a person, recipe."""

    name: str
    words: str
    recipe: Recipe


class Trainer:
    """AdamW on a model, step by step, with a checkpoint every minute.

    Dropout of a step is seeded by the step's number, so that a training that was killed and
    resumed ends in the same weights as one that was not.
    """

    def __init__(self, model: Any, phase: Phase, folder: Path, seed: int, report: Report) -> None:
        self.model, self.phase, self.seed, self.report = model, phase, seed, report
        self.recipe = phase.recipe
        self.journal = Journal(folder)
        self.optimiser = torch.optim.AdamW(
            list(decay_groups(model, self.recipe.weight_decay)), lr=0.0, fused=True
        )
        self.checkpoint = Checkpoint(folder / f"{phase.name}.safetensors", model, self.optimiser)
        self.parts = 1
        self._losses: list[float] = []

    def steps(self) -> Iterator[int]:
        """Yield the numbers of the steps that are still to be taken, counted from 0."""
        first = self.checkpoint.load()
        total = self.recipe.steps
        told = saved = time.monotonic()
        self.model.train()
        with self.journal.phase(self.phase.name):
            for step in range(first, total):
                yield step
                done, now = step + 1, time.monotonic()
                if done % LOG_EVERY == 0 or done == total:
                    loss = float(np.mean(self._losses))
                    self.journal.log(f"{self.phase.name}_loss", done, loss)
                    self._losses = []
                if now - told > REPORT_SECONDS or done == total:
                    self.report(self.phase.words, done, total)
                    told = now
                if now - saved > CHECKPOINT_SECONDS and done < total:
                    self.checkpoint.save(done)
                    self.journal.lap()
                    give_back()
                    saved = time.monotonic()
        self.model.eval()

    def update(self, step: int, backward: Backward) -> float:
        """Take one optimiser step; returns the loss before it.

        Where memory does not suffice the step is computed in twice as many parts, and so are all
        that follow. Raises `BenchmarkError` when the loss is not finite: nothing is updated then,
        and the last checkpoint stays.
        """
        while True:
            self.optimiser.zero_grad(set_to_none=True)
            try:
                with isolated_torch_rng(seed_of("optimiser-step", seed=self.seed, step=step)):
                    loss = backward(self.parts)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.parts >= self.recipe.batch_size:
                    raise
            self.parts *= 2
            words = f"{self.phase.words}: out of memory, from here on in {self.parts} parts a step"
            self.report(words, step, self.recipe.steps)
            self.journal.find("parts_per_step", self.parts)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        if not (np.isfinite(loss) and bool(torch.isfinite(norm))):
            raise BenchmarkError(
                f"{self.phase.words}: the loss became {loss}, its gradient's norm {float(norm)}, "
                f"at step {step + 1} of {self.recipe.steps}; the checkpoint of step "
                f"{self.checkpoint.step} is kept. A smaller learning rate may help"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate(step)
        self.optimiser.step()
        self._losses.append(loss)
        return loss


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not get memory, on a GPU or on the host."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)
