"""Weights of several runs in one buffer, and layers that compute all runs at once.

Matrix products, layer norms and sums over tokens are called run by run, so that they are the same
calls on the same shapes whoever the neighbours are. (A batched product saves about 4% of a step
of the smallest models, and sums small matrices in another order.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from benchmark.core.finetune.architecture import Architecture
from benchmark.core.finetune.storage import Place, Storage, places, segments

LINE = 64
"""Bytes at whose multiples each run's weights begin, as one run's do: a library may sum otherwise
where they do not."""


@dataclass
class StackedSlot:
    """Weights (runs, outputs, inputs) and biases (runs, outputs) of one linear layer."""

    weight: torch.Tensor
    bias: torch.Tensor
    weight_gradient: torch.Tensor
    bias_gradient: torch.Tensor
    tokens: Sequence[int] = ()

    def rows(self, start: int, stop: int | None) -> StackedSlot:
        """The slot of some of the outputs."""
        at = (slice(None), slice(start, stop))
        return StackedSlot(
            self.weight[at],
            self.bias[at],
            self.weight_gradient[at],
            self.bias_gradient[at],
            self.tokens,
        )

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply each run's layer to its block of `x`, (runs x block, inputs)."""
        return _Linear.apply(x, self)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slot):
        runs, outputs, inputs = slot.weight.shape
        low = x.to(slot.weight.dtype).view(runs, -1, inputs)
        ctx.slot, ctx.kind = slot, x.dtype
        ctx.save_for_backward(low)
        out = low.new_empty(runs, low.shape[1], outputs)
        for run in range(runs):
            torch.addmm(slot.bias[run], low[run], slot.weight[run].t(), out=out[run])
        return out.view(-1, outputs)

    @staticmethod
    def backward(ctx, gradient):
        slot, (low,) = ctx.slot, ctx.saved_tensors
        runs, block, inputs = low.shape
        gradient = gradient.contiguous().view(runs, block, -1)
        d_x = torch.empty_like(low)
        for run, count in enumerate(own_rows(slot.tokens, block)):
            torch.mm(gradient[run].t(), low[run], out=slot.weight_gradient[run])
            torch.sum(gradient[run, :count], 0, out=slot.bias_gradient[run])
            torch.mm(gradient[run], slot.weight[run], out=d_x[run])
        return d_x.to(ctx.kind).view(-1, inputs), None


@dataclass
class StackedNorm:
    """Weights and biases (runs, width) of one layer norm."""

    weight: torch.Tensor
    bias: torch.Tensor
    weight_gradient: torch.Tensor
    bias_gradient: torch.Tensor
    epsilon: float
    tokens: Sequence[int] = ()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise each run's block of `x`, (runs x block, width); padding becomes 0."""
        return _Norm.apply(x, self)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, norm):
        runs, width = norm.weight.shape
        x = x.view(runs, -1, width)
        out = torch.zeros_like(x)
        saved = [x]
        for run, count in enumerate(own_rows(norm.tokens, x.shape[1])):
            y, mean, scale = torch.native_layer_norm(
                x[run, :count], (width,), norm.weight[run], norm.bias[run], norm.epsilon
            )
            out[run, :count] = y
            saved += [mean, scale]
        ctx.norm = norm
        ctx.save_for_backward(*saved)
        return out.view(-1, width)

    @staticmethod
    def backward(ctx, gradient):
        norm, (x, *saved) = ctx.norm, ctx.saved_tensors
        width = x.shape[2]
        gradient = gradient.contiguous().view(x.shape)
        d_x = torch.zeros_like(x)
        for run, count in enumerate(own_rows(norm.tokens, x.shape[1])):
            mean, scale = saved[2 * run : 2 * run + 2]
            d_x[run, :count], norm.weight_gradient[run], norm.bias_gradient[run] = (
                torch.ops.aten.native_layer_norm_backward(
                    gradient[run, :count],
                    x[run, :count],
                    (width,),
                    mean,
                    scale,
                    norm.weight[run],
                    norm.bias[run],
                    [True, True, True],
                )
            )
        return d_x.view(-1, width), None


def own_rows(tokens: Sequence[int], block: int) -> Sequence[int]:
    """How many rows of each run's block are its own: tokens, or what every run has as many of."""
    return tokens if block == max(tokens) else [block] * len(tokens)


def _rows(one: torch.Tensor, runs: int) -> torch.Tensor:
    """Room for as many runs as long as `one`, (runs, length), a run beginning at a whole line."""
    whole = LINE // one.element_size()
    return one.new_empty(runs, -(-len(one) // whole) * whole)[:, : len(one)]


class StackedStorage:
    """The buffers of several runs, one run a row, each laid out as `Storage` lays out one."""

    def __init__(self, single: Storage, architecture: Architecture, runs: int) -> None:
        self.single = single
        self.values = _rows(single.values, runs)
        self.gradients = _rows(single.values, runs).zero_()
        if single.low:
            self.read, self.written = _rows(single.read, runs), _rows(single.read, runs)
        else:
            self.read, self.written = self.values, self.gradients
        self.slots = [self._slot(place) for place in places(architecture.linears)]
        self.norms, start = [], single.n_linear
        for norm in architecture.norms:
            width = norm.weight.numel()
            at = slice(start, start + width), slice(start + width, start + 2 * width)
            views = [buffer[:, part] for buffer in (self.values, self.gradients) for part in at]
            self.norms.append(StackedNorm(*views, norm.eps))
            start += 2 * width
        table = architecture.relative
        self.relative_shape = (runs, *table[0].weight.shape) if table else None
        self.relative: torch.Tensor | None = None

    def segments(self, run: int) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return a run's weights as parameters: those that decay and those that do not."""
        return segments(self.values[run], self.gradients[run], self.single.cuts)

    def load(self, run: int) -> None:
        """Take a run's weights from the live model."""
        self.values[run] = self.single.values

    def unload(self, run: int) -> None:
        """Give a run's weights to the live model."""
        self.single.values.copy_(self.values[run])
        self.single.refresh()

    def refresh(self) -> None:
        """Renew the low-precision copy."""
        if self.single.low:
            self.read.copy_(self.values[:, : self.single.n_linear])

    def begin_pass(self, tokens: Sequence[int]) -> None:
        """Tell the layers how many tokens each run has in the batch that comes next."""
        for layer in (*self.slots, *self.norms):
            layer.tokens = tokens
        if self.relative_shape is not None:
            table = self.values[:, self.single.n_plain :].view(self.relative_shape)
            self.relative = table.clone().requires_grad_()

    def gather_gradients(self) -> None:
        """Complete the gradients after a backward pass; layers have overwritten theirs."""
        if self.single.low:
            self.gradients[:, : self.single.n_linear].copy_(self.written)
        if self.relative is not None:
            assert self.relative.grad is not None
            self.gradients[:, self.single.n_plain :] = self.relative.grad.flatten(1)

    def _slot(self, place: Place) -> StackedSlot:
        weight = slice(place.weight, place.weight + place.outputs * place.inputs)
        start = self.single.n_weights + place.bias
        bias = slice(start, start + place.outputs)
        shape = (len(self.values), place.outputs, place.inputs)
        return StackedSlot(
            self.read[:, weight].view(shape),
            self.read[:, bias],
            self.written[:, weight].view(shape),
            self.written[:, bias],
        )
