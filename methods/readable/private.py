"""Gradients released with differential privacy, and what their releases cost together.

Neighbouring data sets differ by one row that is there or not (add or remove). A release is the sum
of the clipped gradients of a Poisson sample of a class's rows, plus Gaussian noise (Abadi et al.,
CCS 2016); how many rows a class has is taken to be public. A row has one class, so that releases of
different classes never meet in it.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.core.errors import UnavailableError
from benchmark.core.seeding import torch_generator
from methods.gradient_matching.closed_form import TINY, LastLayer

NOISE_PRECISION, LEAST_NOISE = 5e-3, 1e-2
MORE_ORDERS = tuple(range(64, 1025, 64))
"""Orders of Rényi's divergence beyond Opacus's own, for which small budgets are tighter."""


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


def require_accountant() -> None:
    """Raise `UnavailableError` where the accountant's library is not installed."""
    if importlib.util.find_spec("opacus") is None:
        raise UnavailableError(
            "differential privacy needs the package opacus, which is not installed; "
            "pip install -c constraints.txt -e '.[dp]'"
        )


@functools.lru_cache(maxsize=256)
def spent(noise: float, rate: float, releases: int, delta: float) -> float:
    """The epsilon that so many releases of one class come to, by Rényi accounting (Opacus)."""
    require_accountant()
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(noise, rate, releases)]
    orders = [*RDPAccountant.DEFAULT_ALPHAS, *MORE_ORDERS]
    return float(accountant.get_epsilon(delta, alphas=orders))


@functools.lru_cache
def noise_for(epsilon: float, delta: float, rate: float, releases: int) -> float:
    """The least noise, to half a percent, with which all releases cost at most `epsilon`."""

    def is_enough(noise: float) -> bool:
        return spent(noise, rate, releases, delta) <= epsilon

    high = 1.0
    while not is_enough(high):
        high *= 2
    while high > LEAST_NOISE and is_enough(high / 2):
        high /= 2
    low = high / 2
    while high - low > NOISE_PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
