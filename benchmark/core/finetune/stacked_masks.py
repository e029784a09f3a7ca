"""Dropout masks of runs side by side, made of the masks that each run draws alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import pad

from benchmark.core.finetune.masks import Masks
from benchmark.core.finetune.packing import Packed
from benchmark.core.finetune.stacking import Stacked


class StackedMasks(Masks):
    """The masks of runs side by side: each run draws what it would draw alone."""

    def __init__(self, runs: Sequence[Masks], stacked: Stacked) -> None:
        self.runs = runs
        self.stacked = stacked

    def draw(self, *shape: int) -> torch.Tensor | None:
        """Masks of (runs x tokens, width) or (runs x rows, width); padding is kept."""
        rows, width = shape[0] // len(self.runs), shape[1]
        own = self.stacked.tokens if rows == self.stacked.width else [rows] * len(self.runs)
        parts = []
        for masks, count in zip(self.runs, own, strict=True):
            mask = masks.draw(count, width)
            if mask is None:
                return None
            parts.append(mask if count == rows else pad(mask, (0, 0, 0, rows - count), value=1.0))
        return torch.cat(parts)

    def attention(
        self, packed: Packed, heads: int, only_first: bool
    ) -> Sequence[torch.Tensor | None]:
        """Masks of attention weights for buckets that rows of several runs share."""
        own = [
            masks.attention(alone, heads, only_first)
            for masks, alone in zip(self.runs, self.stacked.runs, strict=True)
        ]
        joined: list[torch.Tensor | None] = []
        for members in self.stacked.members:
            parts = [mask for run, at in members if (mask := own[run][at]) is not None]
            joined.append(torch.cat(parts) if parts else None)
        return joined
