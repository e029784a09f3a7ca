"""The rows of one embedding table that several runs use, each run's after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import embedding

from benchmark.core.finetune.rows import RowsInUse


class StackedRows:
    """Rows in use of each run in one buffer, so that a lookup for all runs is one call."""

    def __init__(self, table: nn.Embedding, used: Sequence[np.ndarray]) -> None:
        self.runs = [RowsInUse(table, ids) for ids in used]
        sizes = [len(run.rows) for run in self.runs]
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        self.local = [run.local.cpu() for run in self.runs]
        self.values = torch.cat([run.parameter.detach() for run in self.runs]).requires_grad_()
        for run, values in zip(self.runs, self.values.detach().split(sizes), strict=True):
            run.parameter = nn.Parameter(values)
        self.sizes = sizes
        padding = [
            int(start) + run.padding
            for start, run in zip(self.starts, self.runs, strict=False)
            if run.padding is not None
        ]
        self.untrained = torch.tensor(padding, dtype=torch.int64, device=self.values.device)

    def locate(self, run: int, ids: torch.Tensor) -> torch.Tensor:
        """Where a run's rows stand in the buffer; on the CPU."""
        return self.local[run][ids] + int(self.starts[run])

    def __call__(self, at: torch.Tensor) -> torch.Tensor:
        """Look rows up that were located."""
        return embedding(at, self.values)

    def clear_gradients(self) -> None:
        """Forget the gradient of the last step."""
        self.values.grad = None

    def gather_gradients(self) -> None:
        """Give each run its part of the gradient."""
        assert self.values.grad is not None
        if len(self.untrained):
            self.values.grad.index_fill_(0, self.untrained, 0.0)
        parts = self.values.grad.split(self.sizes)
        for run, gradient in zip(self.runs, parts, strict=True):
            run.parameter.grad = gradient
