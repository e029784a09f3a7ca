"""What trains and evaluates one live model: the interface, and the plain padded way to do it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmark.core.finetune.batches import evaluation_batches
from benchmark.core.finetune.pretrained import Pretrained
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.tokens import Padding, Ragged
from benchmark.core.precision import autocast

TOKEN_BUDGET = 4096


class Engine(ABC):
    """Trains the live model of a checkpoint, one run after another.

    Use: `begin`, then `step` as often as the recipe says, then `predict`.
    """

    model: Any

    @abstractmethod
    def begin(self, recipe: Recipe, examples: Ragged | None) -> None:
        """Reset the weights, the head (from torch's global stream) and the optimiser."""

    @abstractmethod
    def step(self, batch: Ragged, labels: torch.Tensor, rate: float) -> torch.Tensor:
        """Take one optimiser step and return the loss before it, left on the device.

        Nobody waits for it here: a GPU would stand idle until the next step is queued.
        """

    @abstractmethod
    def gradient(
        self, batch: Ragged, labels: torch.Tensor
    ) -> tuple[float, dict[str, torch.Tensor]]:
        """Mean cross-entropy of a batch without dropout, and its gradient by parameter name.

        The gradients are the engine's own memory: they change with its next use.
        """

    @abstractmethod
    def logits(self, batch: Ragged) -> torch.Tensor:
        """Compute logits of a batch without dropout or gradients, in float32 on the CPU."""

    @abstractmethod
    def head_inputs(self, batch: Ragged) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute what the last linear layer reads (n, d), and logits; else as `logits`."""

    def weights(self) -> dict[str, torch.Tensor]:
        """Copy the live weights; `restore` puts them back."""
        return {name: p.detach().clone() for name, p in self.model.named_parameters()}

    @torch.no_grad()
    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Put all weights back in place, converted to their precision. Needs a `begin` before."""
        for name, parameter in self.model.named_parameters():
            parameter.copy_(weights[name])

    def predict(self, texts: Ragged) -> np.ndarray:
        """Compute logits of all texts; which texts share a batch changes only rounding."""
        parts: list[tuple[np.ndarray, np.ndarray]] = [
            (rows, self.logits(texts.take(rows)).numpy())
            for rows in evaluation_batches(texts.lengths, TOKEN_BUDGET)
        ]
        scores = np.empty((len(texts), parts[0][1].shape[1]), dtype=np.float32)
        for rows, part in parts:
            scores[rows] = part
        return scores


class PaddedEngine(Engine):
    """The model's own `forward` on padded batches: works for every architecture.

    A batch is padded to its longest row. There is no gradient checkpointing: at 64 short rows it
    saves memory that nobody needs and computes every forward pass twice.
    """

    def __init__(self, pretrained: Pretrained, device: torch.device) -> None:
        self.pretrained = pretrained
        self.model = pretrained.model.to(device)
        self.padding = Padding.of(pretrained.tokenizer)
        self.device = device

    def begin(self, recipe: Recipe, examples: Ragged | None) -> None:
        self.recipe = recipe
        self.pretrained.set_dropout(recipe.dropout)
        self.pretrained.reset()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            list(decay_groups(self.model, recipe.weight_decay)), lr=0.0, fused=True
        )

    def step(self, batch: Ragged, labels: torch.Tensor, rate: float) -> torch.Tensor:
        target = labels.to(self.device, non_blocking=True)
        return self.update(lambda: cross_entropy(self._forward(batch), target), rate)

    def update(self, loss_now: Callable[[], torch.Tensor], rate: float) -> torch.Tensor:
        """Take one optimiser step on any loss of the model; return it, as `step` does."""
        self.model.train()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with self._precision():
            loss = loss_now()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimiser.step()
        return loss.detach()

    def gradient(
        self, batch: Ragged, labels: torch.Tensor
    ) -> tuple[float, dict[str, torch.Tensor]]:
        self.model.eval()
        self.model.zero_grad(set_to_none=True)
        with self._precision():
            loss = cross_entropy(self._forward(batch), labels.to(self.device))
        loss.backward()
        return float(loss.detach()), {
            name: torch.zeros_like(p) if p.grad is None else p.grad
            for name, p in self.model.named_parameters()
        }

    @torch.no_grad()
    def logits(self, batch: Ragged) -> torch.Tensor:
        self.model.eval()
        with self._precision():
            return self._forward(batch).float().cpu()

    @torch.no_grad()
    def head_inputs(self, batch: Ragged) -> tuple[torch.Tensor, torch.Tensor]:
        seen: list[torch.Tensor] = []
        hook = last_linear(self.model).register_forward_pre_hook(
            lambda module, given: seen.append(given[0].float().cpu())
        )
        try:
            logits = self.logits(batch)
        finally:
            hook.remove()
        inputs = seen[0]
        if inputs.ndim == 3 and inputs.shape[1] > 1:  # a causal model's head is put to every token
            last = torch.from_numpy(batch.lengths - 1)
            inputs = inputs[torch.arange(len(last)), last]
        return inputs.reshape(len(logits), -1), logits

    def _forward(self, batch: Ragged) -> torch.Tensor:
        inputs = self.padding.apply(batch)
        tensors = {
            name: torch.from_numpy(a).to(self.device, non_blocking=True)
            for name, a in inputs.items()
        }
        return self.model(**tensors).logits.float()

    def _precision(self) -> AbstractContextManager:
        return autocast(self.recipe.precision, self.device)


def last_linear(model: Any) -> nn.Linear:
    """The layer that makes the logits: the last linear one with an output a class."""
    n_classes = model.config.num_labels
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    return [m for m in linears if m.out_features == n_classes][-1]


def decays(name: str, parameter: torch.Tensor) -> bool:
    """Whether weight decay applies: not to biases, not to one-dimensional weights."""
    return parameter.ndim > 1 and not name.endswith("bias")


def decay_groups(model: nn.Module, weight_decay: float) -> Iterator[dict]:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    for wanted, decay in ((True, weight_decay), (False, 0.0)):
        chosen = [p for name, p in named if decays(name, p) is wanted]
        if chosen:
            yield {"params": chosen, "weight_decay": decay}
