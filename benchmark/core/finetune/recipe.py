"""The training recipe of a fine-tuned learner, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained: AdamW, linear warm-up, cosine to zero, last step.

    Attributes
    ----------
    steps : optimiser steps.
    learning_rate : the peak of the schedule.
    warmup : share of the steps in which the rate rises linearly from 0.
    weight_decay : decoupled, not applied to biases and one-dimensional weights (layer norms).
    clip : largest norm of the gradient over all parameters.
    dropout : probability of every dropout in the model.
    batch_size : rows a step; all rows when there are fewer.
    precision : `"bfloat16"` (autocast; float32 where a machine has no instructions for it, see
        `benchmark.core.precision`) or `"float32"`.
    """

    steps: int = 200
    learning_rate: float = 1e-4
    warmup: float = 0.5
    weight_decay: float = 0.01
    clip: float = 1.0
    dropout: float = 0.1
    batch_size: int = 64
    precision: str = "bfloat16"

    def rate(self, step: int) -> float:
        """Learning rate of optimiser step `step`, counted from 0 (whose rate is 0)."""
        rising = math.ceil(self.steps * self.warmup)
        if step < rising:
            return self.learning_rate * step / max(1, rising)
        progress = (step - rising) / max(1, self.steps - rising)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))

    def rows_per_step(self, n_rows: int) -> int:
        """Batch size for a set of `n_rows`."""
        return min(self.batch_size, n_rows)

    def for_epochs(self, n_rows: int, epochs: int, learning_rate: float) -> Recipe:
        """Return the recipe with as many steps as `epochs` passes over `n_rows` take."""
        steps = epochs * (n_rows // self.rows_per_step(n_rows))
        return replace(self, steps=steps, learning_rate=learning_rate)


@dataclass(frozen=True)
class LinearRecipe(Recipe):
    """A recipe whose rate falls linearly from its peak to zero, as DaLLME trains its learners."""

    def rate(self, step: int) -> float:
        """Learning rate of optimiser step `step`, counted from 0."""
        rising = math.ceil(self.steps * self.warmup)
        if step < rising:
            return self.learning_rate * step / max(1, rising)
        return self.learning_rate * (self.steps - step) / max(1, self.steps - rising)
