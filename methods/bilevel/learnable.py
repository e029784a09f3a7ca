"""What is learned: rows of input embeddings, their labels, learning rates, attention labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.functional import softplus

from benchmark.core.finetune.embedded import EmbeddedRows


@dataclass(frozen=True)
class Layout:
    """Which rows a set has and in which step each is used.

    Attributes
    ----------
    per_class : rows of each class.
    passes : how often the steps are gone through; every step of every pass has its own rate.
    whole : whether every step takes all rows; else step t takes the t-th row of each class.
    """

    per_class: tuple[int, ...]
    passes: int = 1
    whole: bool = False

    @property
    def labels(self) -> np.ndarray:
        """The class of each row; rows of one step lie together."""
        return np.array(
            [c for t in range(max(self.per_class)) for c, n in enumerate(self.per_class) if t < n]
        )

    @property
    def order(self) -> tuple[tuple[int, ...], ...]:
        """The rows of every step."""
        steps, start = [], 0
        for t in range(max(self.per_class)):
            size = sum(t < n for n in self.per_class)
            steps.append(tuple(range(start, start + size)))
            start += size
        if self.whole:
            steps = [tuple(range(start))]
        return tuple(steps * self.passes)


class Learnable(nn.Module):
    """The parameters of the outer optimiser, and what the inner steps read of them.

    Rates are softplus(raw). Soft labels are softmax(raw), attention labels likewise; raw labels
    start at one-hot vectors.
    """

    def __init__(
        self,
        layout: Layout,
        n_classes: int,
        embeddings: torch.Tensor,
        rate: float,
        label_type: str,
        attention: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.layout, self.label_type = layout, label_type
        self.embeddings = nn.Parameter(embeddings)
        steps = len(layout.order)
        self.raw_rates = nn.Parameter(torch.full((steps,), float(np.log(np.expm1(rate)))))
        one_hot = torch.eye(n_classes)[torch.from_numpy(layout.labels)]
        self.raw_labels = nn.Parameter(one_hot, requires_grad=label_type != "hard")
        self.raw_attention = None if attention is None else nn.Parameter(attention)

    def rates(self) -> torch.Tensor:
        """The learning rate of every step, shape (T,)."""
        return softplus(self.raw_rates)

    def labels(self) -> torch.Tensor:
        """Target vectors, shape (n, C)."""
        return self.raw_labels.softmax(1) if self.label_type == "soft" else self.raw_labels

    def attention(self) -> torch.Tensor | None:
        """Attention labels, shape (n, layers, heads, queries, length), or None."""
        return None if self.raw_attention is None else self.raw_attention.softmax(-1)

    def batches(self) -> list[EmbeddedRows]:
        """The rows of every step, differentiable."""
        labels, attention = self.labels(), self.attention()
        batches = []
        for rows in self.layout.order:
            at = list(rows)
            given = None if attention is None else attention[at]
            batches.append(EmbeddedRows(self.embeddings[at], labels[at], given))
        return batches

    def scale_rates(self, factor: float) -> None:
        """Multiply all learning rates, in place."""
        with torch.no_grad():
            rates = (self.rates() * factor).clamp(min=1e-8)
            self.raw_rates.copy_(torch.log(torch.expm1(rates)))


def noise(rows: int, length: int, width: int, scale: float, seed: int) -> torch.Tensor:
    """Normal embeddings whose vectors have the mean norm `scale` (1: N(0, 1), as released)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, length, width, generator=generator) * scale


def from_rows(
    table: torch.Tensor, tokens: Sequence[np.ndarray], length: int, padding: int
) -> torch.Tensor:
    """Word vectors of real rows, cut or padded to `length`."""
    ids = np.full((len(tokens), length), padding, dtype=np.int64)
    for row, of_row in enumerate(tokens):
        ids[row, : len(of_row)] = of_row[:length]
    return table[torch.from_numpy(ids)].clone()
