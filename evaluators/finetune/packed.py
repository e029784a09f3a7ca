"""The packed way to train: real tokens only through every linear layer.

Same function as the library's `forward`, with three savings: no padding outside attention; the
last layer computes queries and feed-forward for the first token only, as nothing else is read; and
embedding rows that a set does not use are not trained step by step (`rows`). Dropout draws other
masks than the library would, of the same distribution.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, embedding, layer_norm

from evaluators.finetune.architecture import Architecture, Block
from evaluators.finetune.attention import attend
from evaluators.finetune.engine import Engine
from evaluators.finetune.masks import Masks
from evaluators.finetune.packing import Bucket, Packed, pack
from evaluators.finetune.pretrained import Pretrained
from evaluators.finetune.recipe import Recipe
from evaluators.finetune.rows import RowsInUse
from evaluators.finetune.storage import Slot, Storage
from evaluators.finetune.tokens import Ragged


class PackedEngine(Engine):
    """Trains BERT-like classifiers on packed rows."""

    def __init__(
        self, pretrained: Pretrained, architecture: Architecture, device: torch.device
    ) -> None:
        self.pretrained = pretrained
        self.model = pretrained.model.to(device)
        self.architecture = architecture
        self.device = device
        self.storages: dict[str, Storage] = {}

    def begin(self, recipe: Recipe, examples: Ragged) -> None:
        self.recipe = recipe
        if recipe.precision not in self.storages:
            self.storages = {recipe.precision: Storage(self.architecture, recipe.precision)}
        self.storage = self.storages[recipe.precision]
        self.masks = Masks(recipe.dropout, self.device)
        self.storage.attach()
        self.pretrained.reset()
        self.storage.refresh()
        self.plans: dict[bytes, Packed] = {}
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

    def step(self, batch: Ragged, labels: torch.Tensor, rate: float) -> float:
        loss = self.loss(self.pack(batch), labels)
        value = float(loss.detach())
        if np.isfinite(value):
            self.backward(loss)
            self.update(rate)
        return value

    def logits(self, batch: Ragged) -> torch.Tensor:
        return self.head_inputs(batch)[1]

    @torch.no_grad()
    def head_inputs(self, batch: Ragged) -> tuple[torch.Tensor, torch.Tensor]:
        self.finish()
        packed = self.pack(batch)
        ids = (packed.ids, packed.positions, packed.types)
        x = sum(
            embedding(at, table.weight)
            for table, at in zip(self.architecture.tables, ids, strict=False)
        )
        forward = Forward(self.architecture, self.storage.slots, packed, None)
        features = forward.features(x)
        both = (features.float().cpu(), forward.classify(features).float().cpu())
        inputs, logits = (torch.empty_like(t).index_copy_(0, packed.order, t) for t in both)
        return inputs, logits

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
        forward = Forward(self.architecture, self.storage.slots, packed, self.masks)
        return cross_entropy(forward(x).float(), labels[packed.order].to(self.device))

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


class Forward:
    """One pass over a packed batch; without `masks` it evaluates."""

    def __init__(
        self,
        architecture: Architecture,
        slots: list[Slot],
        packed: Packed,
        masks: Masks | None,
    ) -> None:
        self.architecture = architecture
        self.slots = slots
        self.packed = packed
        self.masks = masks
        self.biases = [self._bias(bucket) for bucket in packed.buckets]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits from summed embeddings, rows in packed order."""
        return self.classify(self.features(x))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Compute what the last layer reads."""
        a = self.architecture
        x = self._drop(_norm(x, a.norm))
        for index, block in enumerate(a.blocks):
            last = index == len(a.blocks) - 1
            x = self._block(x, block, self.slots[4 * index : 4 * index + 4], last)
        if a.drops_features:
            x = self._drop(x)
        return a.head_activation(self.slots[-2](x))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Apply the last layer."""
        return self.slots[-1](self._drop(features))

    def _block(self, x: torch.Tensor, block: Block, slots: list[Slot], last: bool) -> torch.Tensor:
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
        x = _norm(x, block.attention_norm)
        inner = narrow(block.activation(widen(x)))
        return _norm(self._add(inner, x), block.output_norm)

    def _attend(self, first: torch.Tensor | None, packed: torch.Tensor) -> torch.Tensor:
        """Attend within each row; `first` are queries of first tokens, else all tokens ask."""
        parts = []
        for bucket, bias in zip(self.packed.buckets, self.biases, strict=True):
            asking, mask = None, None
            heads, queries = self.architecture.heads, bucket.width
            if first is not None:
                asking, queries = first[bucket.rows], 1
                bias = None if bias is None else bias[:, :, :1]
            if self.masks is not None:
                mask = self.masks.draw(bucket.count, heads, queries, bucket.width)
            keys = packed[bucket.tokens]
            parts.append(attend(keys, asking, bucket, heads, bias, mask, self.masks is not None))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _bias(self, bucket: Bucket) -> torch.Tensor | None:
        if self.architecture.relative is None:
            return bucket.mask
        table, index_of = self.architecture.relative
        at = torch.arange(bucket.width, device=table.weight.device)
        index = index_of(at[None, :] - at[:, None])
        bias = embedding(index, table.weight).permute(2, 0, 1)[None]
        return bias if bucket.mask is None else bias + bucket.mask

    def _drop(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.masks is None else self.masks.apply(x)

    def _add(self, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return (
            x.to(residual.dtype) + residual if self.masks is None else self.masks.add(x, residual)
        )


def _norm(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    return layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
