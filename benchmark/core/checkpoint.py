"""Weights, alone or with the optimiser's state, in one safetensors file, written atomically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Weights:
    """The weights of a model as they were after `step` steps."""

    def __init__(self, path: Path, model: Any) -> None:
        self.path = path
        # Tied weights are one parameter, named once.
        self.parameters = dict(model.named_parameters())
        self.step = 0

    def save(self, step: int) -> None:
        """Write the state after `step` steps."""
        from safetensors.torch import save_file

        temporary = self.path.with_name(f".{self.path.name}.new")
        body = {name: t.detach().cpu().contiguous() for name, t in self._tensors().items()}
        save_file(body, temporary, {"step": str(step)})
        os.replace(temporary, self.path)
        self.step = step

    def load(self) -> int:
        """Restore the state in place; returns how many steps it holds, 0 without a file."""
        if not self.path.exists():
            return 0
        from safetensors import safe_open

        with safe_open(self.path, "pt") as file, torch.no_grad():
            self._restore(file)
            self.step = int(file.metadata()["step"])
        return self.step

    def remove(self) -> None:
        """Delete the file; it has served."""
        self.path.unlink(missing_ok=True)

    def _tensors(self) -> dict[str, torch.Tensor]:
        return {f"weight/{name}": p for name, p in self.parameters.items()}

    def _restore(self, file: Any) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(file.get_tensor(f"weight/{name}"))


class Checkpoint(Weights):
    """The last good state of a training: weights and AdamW's moments."""

    def __init__(self, path: Path, model: Any, optimiser: torch.optim.Optimizer) -> None:
        super().__init__(path, model)
        self.optimiser = optimiser

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = super()._tensors()
        for name, parameter in self.parameters.items():
            for moment, value in self.optimiser.state.get(parameter, {}).items():
                tensors[f"{moment}/{name}"] = value
        return tensors

    def _restore(self, file: Any) -> None:
        super()._restore(file)
        known = set(file.keys())
        for name, parameter in self.parameters.items():
            state: dict[str, torch.Tensor] = {}
            for moment in MOMENTS:
                if f"{moment}/{name}" in known:
                    value = file.get_tensor(f"{moment}/{name}")
                    # AdamW keeps its count of steps where it made it; fused, beside the weights.
                    state[moment] = value.to(parameter.device)
            if state:
                self.optimiser.state[parameter] = state
