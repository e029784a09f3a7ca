"""The weights of many runs of one network, in one tensor, so that they share an optimiser step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

ALIGNMENT = 64  # floats: each run's weights lie in memory as they would alone


@dataclass(frozen=True)
class Shape:
    """Shape of one weight of one run, and the bound of its uniform initial values."""

    size: tuple[int, ...]
    bound: float


class Stack:
    """Weights of `len(generators)` runs: row r of `values` holds those of run r.

    Each run's weights are drawn from a generator of its own, as PyTorch's layers draw them: uniform
    within a bound. `of_run[r][name]` are leaves that share memory with `values`, and their
    gradients with `values.grad`, so one optimiser of one tensor serves all runs.
    """

    def __init__(self, shapes: Mapping[str, Shape], generators: Sequence[torch.Generator]) -> None:
        sizes = [math.prod(shape.size) for shape in shapes.values()]
        places = np.cumsum([0, *(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)])
        self.values = torch.zeros(len(generators), int(places[-1]))
        self.values.grad = torch.zeros_like(self.values)
        self.of_run: list[dict[str, torch.Tensor]] = []
        for values, gradients, generator in zip(
            self.values, self.values.grad, generators, strict=True
        ):
            leaves = {}
            for (name, shape), size, at in zip(shapes.items(), sizes, places, strict=False):
                part = values[at : at + size].uniform_(
                    -shape.bound, shape.bound, generator=generator
                )
                leaves[name] = part.view(shape.size).requires_grad_()
                # Autograd adds in place to a gradient that is there.
                leaves[name].grad = gradients[at : at + size].view(shape.size)
            self.of_run.append(leaves)

    def all(self, name: str) -> torch.Tensor:
        """One weight of all runs, stacked."""
        return torch.stack([leaves[name] for leaves in self.of_run])
