"""Dropout masks from 16 random bits an element: a fifth of the cost of Bernoulli draws on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from benchmark.core.finetune.packing import Packed
from benchmark.core.seeding import torch_generator

POOL = 1 << 18


class Masks:
    """Draws the scaled keep-masks of one run, from a stream of its own.

    The stream is seeded once, from torch's global stream; what a run draws then depends on the
    shapes that its own batches ask for and on nothing else, whoever trains beside it.

    The probability is rounded to a multiple of 2^-16 (0.1 becomes 0.10001), and kept elements are
    scaled by the rounded value, so that the expectation is exact. Masks are slices of a pool that
    is drawn in one go.
    """

    def __init__(self, probability: float, device: torch.device) -> None:
        self.dropped = round(probability * 2**16)
        self.scale = 1.0 / (1.0 - self.dropped / 2**16) if self.dropped < 2**16 else 0.0
        self.device = device
        seed = int(torch.randint(2**62, (), dtype=torch.int64))
        self.generator = torch_generator(seed, str(device))
        self.pool = torch.empty(0, device=device)

    def draw(self, *shape: int) -> torch.Tensor | None:
        """Return a mask of zeros and scales, or None when nothing is dropped."""
        if not self.dropped:
            return None
        size = math.prod(shape)
        if len(self.pool) < size:
            self.pool = self._fresh(max(size, POOL))
        mask, self.pool = self.pool[:size], self.pool[size:]
        return mask.view(shape)

    def attention(
        self, packed: Packed, heads: int, only_first: bool
    ) -> Sequence[torch.Tensor | None]:
        """Masks of attention weights (rows, heads, queries, keys), one per bucket."""
        return [
            self.draw(bucket.count, heads, 1 if only_first else bucket.width, bucket.width)
            for bucket in packed.buckets
        ]

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Drop elements of `x`."""
        mask = self.draw(*x.shape)
        return x if mask is None else x * mask

    def add(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """Drop elements of `x` and add `residual`, in the residual's precision."""
        mask = self.draw(*x.shape)
        x = x.to(residual.dtype)
        return residual + x if mask is None else torch.addcmul(residual, x, mask)

    def _fresh(self, size: int) -> torch.Tensor:
        words = torch.empty((size + 3) // 4, dtype=torch.int64, device=self.device)
        words.random_(-(2**63), None, generator=self.generator)
        lanes = words.view(torch.int16)[:size]
        return (lanes >= self.dropped - 2**15).to(torch.float32).mul_(self.scale)
