"""Gradients released with differential privacy.

A release is the sum of the clipped gradients of a Poisson sample of a class's rows, plus Gaussian
noise (Abadi et al., CCS 2016). Its scale has the number of rows of the class in it, which is taken
to be public; neighbouring data sets must therefore agree in it. They differ by one row that is
replaced by an empty one, which is counted and contributes no gradient (the zero-out relation): it
moves the sum by the clipping norm at most, so that the accounting of adding or removing a row
holds. Replacing a row by another one is two such steps. A row has one class, so that releases of
different classes never meet in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from benchmark.core.seeding import torch_generator
from methods.gradient_matching.closed_form import TINY, LastLayer


@dataclass(frozen=True)
class Mechanism:
    """How one gradient is released.

    Attributes
    ----------
    clip : largest norm of a row's gradient.
    noise : standard deviation of the noise in every coordinate, in units of `clip`.
    rate : probability with which each row of a class is in the sample.
    """

    clip: float
    noise: float
    rate: float

    def sample(self, members: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw each of some rows with probability `rate`."""
        return members[rng.random(len(members)) < self.rate]

    def release(
        self,
        rows: LastLayer | None,
        group: int,
        members: int,
        shape: tuple[int, int],
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """Return the noised mean gradient, of shape `shape`.

        Parameters
        ----------
        rows : the sampled rows at the last layer, `group` successive ones an example; None where
            the sample is empty.
        members : rows of the class; the sum is divided by the *expected* size of the sample, so
            that the number drawn is not told.
        """
        total = torch.zeros(shape)
        if rows is not None:
            weights = self._shrinkage(rows, group)
            total = rows.gradient(weights.repeat_interleave(group) / group).cpu()
        draws = torch_generator(int(rng.integers(2**63)))
        total += torch.randn(shape, generator=draws) * (self.noise * self.clip)
        return total / (self.rate * members)

    def _shrinkage(self, rows: LastLayer, group: int) -> torch.Tensor:
        """What each example's gradient is multiplied by so that its norm is at most `clip`."""
        inputs = rows.inputs.view(-1, group, rows.inputs.shape[1])
        errors = rows.errors.view(-1, group, rows.errors.shape[1])
        gram = (errors @ errors.transpose(1, 2)) * (inputs @ inputs.transpose(1, 2))
        norms = gram.sum((1, 2)).clamp(min=TINY).sqrt() / group
        return (self.clip / norms).clamp(max=1.0)
