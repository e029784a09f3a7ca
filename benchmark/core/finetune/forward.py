"""One pass of a BERT-like classifier over a packed batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, Self

import torch
from torch.nn.functional import embedding, layer_norm

from benchmark.core.finetune.architecture import Architecture, Block
from benchmark.core.finetune.attention import attend
from benchmark.core.finetune.masks import Masks
from benchmark.core.finetune.packing import Packed

Norm = Callable[[torch.Tensor], torch.Tensor]


class Linear(Protocol):
    """A linear layer over packed tokens."""

    def rows(self, start: int, stop: int | None) -> Self:
        """The layer of some of the outputs."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer."""


class Forward:
    """One pass over a packed batch; without `masks` it evaluates.

    `slots` and `norms` are the linear layers and the layer norms in the architecture's order.
    """

    def __init__(
        self,
        architecture: Architecture,
        slots: Sequence[Linear],
        norms: Sequence[Norm],
        packed: Packed,
        masks: Masks | None,
    ) -> None:
        self.architecture = architecture
        self.slots = slots
        self.norms = norms
        self.packed = packed
        self.masks = masks
        self.biases = [self.bias(at) for at in range(len(packed.buckets))]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits from summed embeddings, rows in packed order."""
        return self.classify(self.features(x))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Compute what the last layer reads."""
        a = self.architecture
        x = self._drop(self.norms[0](x))
        for index, block in enumerate(a.blocks):
            last = index == len(a.blocks) - 1
            slots, norms = self.slots[4 * index :], self.norms[1 + 2 * index :]
            x = self._block(x, block, slots[:4], norms[:2], last)
        if a.drops_features:
            x = self._drop(x)
        return a.head_activation(self.slots[-2](x))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Apply the last layer."""
        return self.slots[-1](self._drop(features))

    def _block(
        self,
        x: torch.Tensor,
        block: Block,
        slots: Sequence[Linear],
        norms: Sequence[Norm],
        last: bool,
    ) -> torch.Tensor:
        qkv, output, widen, narrow = slots
        width = block.query.out_features
        if last:
            keys = qkv.rows(width, None)(x)
            x = x[self.packed.first]
            attended = self._attend(qkv.rows(0, width)(x), keys)
        else:
            attended = self._attend(None, qkv(x))
        attended = output(attended)
        if self.architecture.drops_attention_output:
            x = self._add(attended, x)
        else:
            x = attended.to(x.dtype) + x
        x = norms[0](x)
        inner = narrow(block.activation(widen(x)))
        return norms[1](self._add(inner, x))

    def _attend(self, first: torch.Tensor | None, packed: torch.Tensor) -> torch.Tensor:
        """Attend within each row; `first` are queries of first tokens, else all tokens ask."""
        a, biases = self.architecture, self.biases
        if first is not None:
            biases = [None if bias is None else bias[:, :, :1] for bias in biases]
        masks = None
        if self.masks is not None:
            masks = self.masks.attention(self.packed, a.heads, only_first=first is not None)
        return attend(packed, first, self.packed.buckets, a.heads, biases, masks)

    def bias(self, at: int) -> torch.Tensor | None:
        """What is added to the scores of bucket `at`: relative positions, -inf on padding."""
        bucket = self.packed.buckets[at]
        if self.architecture.relative is None:
            return bucket.mask
        bias = self.relative(bucket.width, self.architecture.relative[0].weight)
        return bias if bucket.mask is None else bias + bucket.mask

    def relative(self, width: int, table: torch.Tensor) -> torch.Tensor:
        """Biases of relative positions, shape (1, heads, width, width)."""
        assert self.architecture.relative is not None
        at = torch.arange(width, device=table.device)
        index = self.architecture.relative[1](at[None, :] - at[:, None])
        return embedding(index, table).permute(2, 0, 1)[None]

    def _drop(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.masks is None else self.masks.apply(x)

    def _add(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return (
            x.to(residual.dtype) + residual if self.masks is None else self.masks.add(x, residual)
        )


def norms_of(architecture: Architecture) -> list[Norm]:
    """The model's own layer norms as functions."""
    return [
        partial(
            layer_norm,
            normalized_shape=norm.normalized_shape,
            weight=norm.weight,
            bias=norm.bias,
            eps=norm.eps,
        )
        for norm in architecture.norms
    ]
