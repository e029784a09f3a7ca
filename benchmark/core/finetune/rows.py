"""Embedding tables of which only the rows that a set uses are trained.

A row whose token is not in the set has no gradient, so its Adam moments stay 0 and a step changes
it by weight decay alone: w <- w (1 - rate x decay). That product is applied once, at the end. Rows
that occur only in test texts thus have the value that the plain optimiser would have given them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.functional import embedding


class RowsInUse:
    """The rows of one table that some texts use, as a small parameter."""

    def __init__(self, table: nn.Embedding, used: np.ndarray) -> None:
        self.table = table
        device = table.weight.device
        self.rows = torch.from_numpy(np.unique(used).astype(np.int64)).to(device)
        self.parameter = nn.Parameter(table.weight.detach()[self.rows].clone())
        local = torch.zeros(table.num_embeddings, dtype=torch.int64, device=device)
        local[self.rows] = torch.arange(len(self.rows), device=device)
        self.local = local
        self.padding: int | None = None  # the library gives the padding row no gradient
        if table.padding_idx is not None and bool((self.rows == table.padding_idx).any()):
            self.padding = int(local[table.padding_idx])
        self.decayed = 1.0

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """Look rows up in the trained part."""
        return embedding(self.local[ids], self.parameter, padding_idx=self.padding)

    def step(self, rate: float, weight_decay: float) -> None:
        """Note one optimiser step for the rows that are not trained."""
        self.decayed *= 1.0 - rate * weight_decay

    @torch.no_grad()
    def finish(self) -> None:
        """Write the whole table as the plain optimiser would have left it."""
        self.table.weight.mul_(self.decayed)
        self.table.weight[self.rows] = self.parameter
        self.decayed = 1.0
