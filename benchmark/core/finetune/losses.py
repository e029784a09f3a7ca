"""The losses of a training, kept on the device and looked at now and then."""

from __future__ import annotations

import torch

CHECK = 32  # steps between two looks: each makes a GPU's queue run dry


class Losses:
    """Losses of runs that train side by side, step by step.

    A run whose loss left the finite numbers goes on until the next look, which wastes some of its
    own steps and changes no other run.

    Attributes
    ----------
    broken : for each run, the first step (from 1) whose loss was not finite; 0 if there is none.
    """

    def __init__(self, runs: int, steps: int) -> None:
        self.steps = steps
        self.broken = [0] * runs
        self.values = [float("nan")] * runs
        self._recent: list[torch.Tensor] = []
        self._seen = 0

    def add(self, losses: torch.Tensor) -> bool:
        """Note the losses of one step, shape (runs,) or (); return False when all are broken."""
        self._recent.append(losses)
        if len(self._recent) == CHECK or self._seen + len(self._recent) == self.steps:
            self._look()
        return not all(self.broken)

    def fault(self, run: int) -> str | None:
        """Say what went wrong in a run, if anything did."""
        if not self.broken[run]:
            return None
        return f"the loss became {self.values[run]} at step {self.broken[run]} of {self.steps}"

    def _look(self) -> None:
        """Bring what is new to the host; `values` keep the last loss, or the one that broke."""
        table = torch.stack(self._recent).view(len(self._recent), -1).cpu()
        finite = table.isfinite()
        for run in range(table.shape[1]):
            if not self.broken[run]:
                wrong = (~finite[:, run]).nonzero()
                at = int(wrong[0]) if len(wrong) else len(table) - 1
                self.values[run] = float(table[at, run])
                self.broken[run] = self._seen + at + 1 if len(wrong) else 0
        self._seen += len(table)
        self._recent = []
