"""The packed way to train: real tokens only through every linear layer.

Same function as the library's `forward`, with three savings: no padding outside attention; the
last layer computes queries and feed-forward for the first token only, as nothing else is read; and
embedding rows that a set does not use are not trained step by step (`rows`). Dropout draws other
masks than the library would, of the same distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import nn
from torch.nn.functional import cross_entropy, embedding

from benchmark.core.finetune.architecture import Architecture
from benchmark.core.finetune.engine import Engine
from benchmark.core.finetune.forward import Forward, norms_of
from benchmark.core.finetune.masks import Masks
from benchmark.core.finetune.packing import Packed, pack
from benchmark.core.finetune.pretrained import Pretrained
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.rows import RowsInUse
from benchmark.core.finetune.storage import Storage
from benchmark.core.finetune.tokens import Ragged
from benchmark.core.precision import computed_in


class PackedEngine(Engine):
    """Trains BERT-like classifiers on packed rows."""

    def __init__(
        self, pretrained: Pretrained, architecture: Architecture, device: torch.device
    ) -> None:
        self.pretrained = pretrained
        self.model = pretrained.model.to(device)
        self.architecture = architecture
        self.device = device
        self.norms = norms_of(architecture)
        self.storages: dict[torch.dtype, Storage] = {}

    @property
    def n_weights(self) -> int:
        """Weights outside the embedding tables."""
        modules = [*chain(*self.architecture.linears), *self.architecture.norms]
        return sum(p.numel() for module in modules for p in module.parameters())

    @property
    def stacks(self) -> bool:
        """Whether runs can train side by side: they then share the checkpoint's tables."""
        tables = self.architecture.tables
        return all(self.pretrained.held_value(table.weight) is not None for table in tables)

    def begin(self, recipe: Recipe, examples: Ragged | None) -> None:
        assert examples is not None, "the rows in use are those of the examples"
        self.recipe = recipe
        self.hold(recipe.precision)
        self.pretrained.reset()
        self.storage.refresh()
        self.masks = Masks(recipe.dropout, self.device)
        whole = self.pack(examples)
        used = (whole.ids, whole.positions, whole.types)
        self.rows = [
            RowsInUse(table, ids.cpu().numpy())
            for table, ids in zip(self.architecture.tables, used, strict=False)
        ]
        decaying, plain = self.storage.segments()
        decaying += [rows.parameter for rows in self.rows]
        self.parameters = [*decaying, *plain]
        groups = [
            {"params": decaying, "weight_decay": recipe.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, fused=True)
        self.unfinished = False

    def hold(self, precision: str) -> None:
        """Make the model's parameters views of the flat storage of this precision."""
        dtype = computed_in(precision, self.device)
        if dtype not in self.storages:
            self.storages = {dtype: Storage(self.architecture, dtype)}
        self.storage = self.storages[dtype]
        self.storage.attach()

    def take_rows(self, rows: Sequence[RowsInUse]) -> None:
        """Evaluate with embedding rows that were trained beside others; see `stacks`."""
        for mine in rows:
            held = self.pretrained.held_value(mine.table.weight)
            assert held is not None
            mine.table.weight.data.copy_(held)
            mine.finish()
        self.unfinished = False

    def step(self, batch: Ragged, labels: torch.Tensor, rate: float) -> torch.Tensor:
        loss = self.loss(self.pack(batch), labels)
        self.backward(loss)
        self.update(rate)
        return loss.detach()

    def gradient(
        self, batch: Ragged, labels: torch.Tensor
    ) -> tuple[float, dict[str, torch.Tensor]]:
        self.finish()
        packed = self.pack(batch)
        for table in self.architecture.tables:
            table.weight.grad = None
        forward = Forward(self.architecture, self.storage.slots, self.norms, packed, None)
        logits = forward(self._embed(packed)).float()
        loss = cross_entropy(logits, labels[packed.order].to(self.device))
        self.storage.clear_gradients()
        loss.backward()
        self.storage.gather_gradients()
        gradients = {}
        for name, parameter in self.model.named_parameters():
            assert parameter.grad is not None
            gradients[name] = parameter.grad
        return float(loss.detach()), gradients

    def logits(self, batch: Ragged) -> torch.Tensor:
        return self.head_inputs(batch)[1]

    @torch.no_grad()
    def head_inputs(self, batch: Ragged) -> tuple[torch.Tensor, torch.Tensor]:
        self.finish()
        packed = self.pack(batch)
        forward = Forward(self.architecture, self.storage.slots, self.norms, packed, None)
        features = forward.features(self._embed(packed))
        both = (features.float().cpu(), forward.classify(features).float().cpu())
        inputs, logits = (torch.empty_like(t).index_copy_(0, packed.order, t) for t in both)
        return inputs, logits

    def _embed(self, packed: Packed) -> torch.Tensor:
        """Sum the whole tables' rows of each token."""
        ids = (packed.ids, packed.positions, packed.types)
        tables = self.architecture.tables
        found = [
            embedding(at, table.weight, padding_idx=table.padding_idx)
            for table, at in zip(tables, ids, strict=False)
        ]
        return sum(found[1:], start=found[0])

    def weights(self) -> dict[str, torch.Tensor]:
        self.finish()
        return super().weights()

    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().restore(weights)
        self.storage.refresh()
        self.unfinished = False  # the tables are whole again

    def finish(self) -> None:
        """Write the embedding tables as the plain optimiser would have left them by now."""
        if self.unfinished:
            for rows in self.rows:
                rows.finish()
            self.unfinished = False

    def pack(self, batch: Ragged) -> Packed:
        """Lay a batch out for this model."""
        return pack(batch, self.architecture.position_padding, self.device)

    def loss(self, packed: Packed, labels: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of a batch, with dropout; `labels` in the batch's own order."""
        ids = (packed.ids, packed.positions, packed.types)
        x = sum(rows(at) for rows, at in zip(self.rows, ids, strict=False))
        forward = Forward(self.architecture, self.storage.slots, self.norms, packed, self.masks)
        return cross_entropy(
            forward(x).float(), labels[packed.order].to(self.device, non_blocking=True)
        )

    def backward(self, loss: torch.Tensor) -> None:
        """Leave the gradients of `loss` in the storage and the rows in use."""
        for rows in self.rows:
            rows.parameter.grad = None
        self.storage.clear_gradients()
        loss.backward()
        self.storage.gather_gradients()

    def update(self, rate: float) -> None:
        """Clip the gradients and take one optimiser step."""
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.storage.refresh()
        for rows in self.rows:
            rows.step(rate, self.recipe.weight_decay)
        self.unfinished = True
