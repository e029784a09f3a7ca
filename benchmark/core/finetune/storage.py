"""One flat buffer for all weights that train, so that the optimiser is a few calls a step.

The model's own parameters become views of the buffer: the library's `forward` and the packed one
see the same weights. In bfloat16 the linear layers read a low-precision copy, renewed once a step,
where autocast would cast every weight anew; the products are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import torch
from torch import nn
from torch.nn.functional import linear

from benchmark.core.finetune.architecture import Architecture


@dataclass(frozen=True)
class Place:
    """Where a slot's weight (outputs, inputs) and bias begin: in all weights, in all biases."""

    weight: int
    bias: int
    outputs: int
    inputs: int


def segments(
    values: torch.Tensor, gradients: torch.Tensor, cuts: Sequence[int]
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parts of a flat buffer as parameters: those that decay and those that do not."""
    parts = []
    for start, stop in pairwise(cuts):
        part = nn.Parameter(values[start:stop])
        part.grad = gradients[start:stop]
        parts.append(part)
    return [part for part in (parts[0], parts[2]) if len(part)], [parts[1]]


def places(linears: Iterable[tuple[nn.Linear, ...]]) -> Iterator[Place]:
    """Lay linear layers end to end; those of one tuple are one slot."""
    weight = bias = 0
    for group in linears:
        place = Place(weight, bias, sum(m.out_features for m in group), group[0].in_features)
        yield place
        weight += place.outputs * place.inputs
        bias += place.outputs


@dataclass
class Slot:
    """Weight and bias of some linear layers read as one, and where their gradients go."""

    weight: torch.Tensor
    bias: torch.Tensor
    weight_gradient: torch.Tensor
    bias_gradient: torch.Tensor

    def rows(self, start: int, stop: int | None) -> Slot:
        """The slot of some of the outputs."""
        at = slice(start, stop)
        return Slot(
            self.weight[at], self.bias[at], self.weight_gradient[at], self.bias_gradient[at]
        )

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer in the slot's precision; gradients are overwritten, not added up."""
        return _Linear.apply(x, self)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slot):
        low = x.to(slot.weight.dtype)
        ctx.slot, ctx.kind = slot, x.dtype
        ctx.save_for_backward(low)
        return linear(low, slot.weight, slot.bias)

    @staticmethod
    def backward(ctx, gradient):
        slot, (low,) = ctx.slot, ctx.saved_tensors
        gradient = gradient.contiguous()
        torch.mm(gradient.t(), low, out=slot.weight_gradient)
        torch.sum(gradient, 0, out=slot.bias_gradient)
        return torch.mm(gradient, slot.weight).to(ctx.kind), None


class Storage:
    """Weights of an architecture's linear layers, norms and relative biases, and their gradients.

    Order in the buffer: linear weights, linear biases, norms, relative biases.
    """

    def __init__(self, architecture: Architecture, dtype: torch.dtype) -> None:
        linears = architecture.linears
        weights = [module.weight for module in chain(*linears)]
        biases = [module.bias for module in chain(*linears)]
        norms = [p for norm in architecture.norms for p in (norm.weight, norm.bias)]
        relative = [architecture.relative[0].weight] if architecture.relative else []
        ends = [sum(p.numel() for p in part) for part in (weights, biases, norms, relative)]
        self.n_weights, self.n_linear = ends[0], ends[0] + ends[1]
        self.n_plain = self.n_linear + ends[2]
        self.cuts = (0, self.n_weights, self.n_plain, sum(ends))
        self.parameters = [*weights, *biases, *norms, *relative]
        device = self.parameters[0].device
        self.values = torch.cat([p.detach().reshape(-1) for p in self.parameters])
        self.gradients = torch.zeros_like(self.values)
        self.attach()
        self.low = dtype is not torch.float32
        if self.low:
            self.read = torch.empty(self.n_linear, dtype=dtype, device=device)
            self.written = torch.empty_like(self.read)
        else:
            self.read, self.written = self.values, self.gradients
        self.slots = [self._slot(place) for place in places(linears)]

    def attach(self) -> None:
        """Make the model's parameters and their gradients views of the buffers."""
        start = 0
        for p in self.parameters:
            p.data = self.values[start : start + p.numel()].view(p.shape)
            p.grad = self.gradients[start : start + p.numel()].view(p.shape)
            start += p.numel()

    def segments(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the buffer as parameters: those that decay and those that do not."""
        return segments(self.values, self.gradients, self.cuts)

    def refresh(self) -> None:
        """Renew the low-precision copy."""
        if self.low:
            self.read.copy_(self.values[: self.n_linear])

    def clear_gradients(self) -> None:
        """Zero what autograd adds up; linear layers overwrite theirs."""
        self.gradients[self.n_linear :].zero_()

    def gather_gradients(self) -> None:
        """Bring the linear layers' gradients to full precision."""
        if self.low:
            self.gradients[: self.n_linear].copy_(self.written)

    def _slot(self, place: Place) -> Slot:
        weight = slice(place.weight, place.weight + place.outputs * place.inputs)
        start = self.n_weights + place.bias
        bias = slice(start, start + place.outputs)
        shape = (place.outputs, place.inputs)
        return Slot(
            self.read[weight].view(shape),
            self.read[bias],
            self.written[weight].view(shape),
            self.written[bias],
        )
