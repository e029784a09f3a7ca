"""Many runs of one cell trained side by side: what a step costs per call is paid once for all.

The runs' tokens lie in one batch, run by run. Everything without weights (dropout, activations,
attention, which mixes tokens within a row only) is one call for all runs; linear layers are a
product a run; the optimiser is one call over all weights. A run draws the masks that it would draw
alone and is clipped alone. Nothing of a run enters another, not even where one is not finite any
more.

Results are those of the packed engine: to the bit for runs that read equally long rows a step (the
seeds of one set), which have the same shapes as alone and are all that `cell` puts together.
Shorter batches are padded at their end, which adds zeros to the sums over tokens and can change
their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmark.core.finetune.forward import Forward
from benchmark.core.finetune.masks import Masks
from benchmark.core.finetune.packed import PackedEngine
from benchmark.core.finetune.packing import pack
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.stacked_masks import StackedMasks
from benchmark.core.finetune.stacked_rows import StackedRows
from benchmark.core.finetune.stacked_storage import StackedStorage
from benchmark.core.finetune.stacking import Stacked, stack
from benchmark.core.finetune.tokens import Ragged
from benchmark.core.seeding import isolated_torch_rng

CPU = torch.device("cpu")


class StackedEngine:
    """Trains a group of runs of a checkpoint; made for one group, evaluates run after run.

    Parameters
    ----------
    single : the engine of the checkpoint's live model, which evaluates.
    examples : each run's set; all have equally many rows.
    seeds : each run's seed, which draws the head, then the seed of the masks.
    """

    def __init__(
        self,
        single: PackedEngine,
        recipe: Recipe,
        examples: Sequence[Ragged],
        seeds: Sequence[int],
    ) -> None:
        self.single, self.recipe = single, recipe
        self.architecture, self.device = single.architecture, single.device
        single.hold(recipe.precision)
        self.storage = StackedStorage(single.storage, self.architecture, len(seeds))
        self.masks = []
        for run, seed in enumerate(seeds):
            with isolated_torch_rng(seed):
                single.pretrained.reset()
                self.masks.append(Masks(recipe.dropout, self.device))
            self.storage.load(run)
        self.storage.refresh()
        self.rows = self._rows_in_use(examples)
        decaying, plain, self.of_run = [], [], []
        for run in range(len(seeds)):
            heavy, light = self.storage.segments(run)
            heavy += [rows.runs[run].parameter for rows in self.rows]
            decaying += heavy
            plain += light
            self.of_run.append([*heavy, *light])
        groups = [
            {"params": decaying, "weight_decay": recipe.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, fused=True)

    def step(
        self, batches: Sequence[Ragged], labels: Sequence[torch.Tensor], rate: float
    ) -> torch.Tensor:
        """Take one optimiser step in every run; return the losses before it, on the device."""
        losses = self.losses(self.stack(batches), labels)
        self.backward(losses)
        self.update(rate)
        return losses.detach()

    def predict(self, run: int, texts: Ragged) -> np.ndarray:
        """Compute a run's logits of all texts with the single engine."""
        self.storage.unload(run)
        self.single.take_rows([rows.runs[run] for rows in self.rows])
        return self.single.predict(texts)

    def stack(self, batches: Sequence[Ragged]) -> Stacked:
        """Lay the runs' batches out as one."""
        padding = self.architecture.position_padding
        packs = [pack(batch, padding, CPU) for batch in batches]
        return stack(packs, [rows.locate for rows in self.rows], self.device)

    def losses(self, stacked: Stacked, labels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Mean cross-entropy of each run, with dropout; labels in the batches' own order."""
        ids = (stacked.ids, stacked.positions, stacked.types)
        x = sum(rows(at) for rows, at in zip(self.rows, ids, strict=False))
        self.storage.begin_pass(stacked.tokens)
        masks = StackedMasks(self.masks, stacked)
        forward = StackedForward(self, stacked, masks)
        logits = forward(x).float().view(len(labels), len(labels[0]), -1)
        return torch.stack(
            [
                cross_entropy(mine, target[order].to(self.device, non_blocking=True))
                for mine, target, order in zip(logits.unbind(0), labels, stacked.order, strict=True)
            ]
        )

    def backward(self, losses: torch.Tensor) -> None:
        """Leave each run's gradients in its weights: those of a run are in no other's loss."""
        for rows in self.rows:
            rows.clear_gradients()
        losses.sum().backward()
        self.storage.gather_gradients()
        for rows in self.rows:
            rows.gather_gradients()

    def update(self, rate: float) -> None:
        """Clip each run's gradients and take one optimiser step for all."""
        for parameters in self.of_run:
            nn.utils.clip_grad_norm_(parameters, self.recipe.clip)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.storage.refresh()
        for rows in self.rows:
            for run in rows.runs:
                run.step(rate, self.recipe.weight_decay)

    def _rows_in_use(self, examples: Sequence[Ragged]) -> list[StackedRows]:
        whole = [pack(batch, self.architecture.position_padding, CPU) for batch in examples]
        used = (
            [packed.ids.numpy() for packed in whole],
            [packed.positions.numpy() for packed in whole],
            [packed.types.numpy() for packed in whole],
        )
        return [
            StackedRows(table, ids)
            for table, ids in zip(self.architecture.tables, used, strict=False)
        ]


class StackedForward(Forward):
    """One pass over the batches of all runs."""

    def __init__(self, engine: StackedEngine, stacked: Stacked, masks: Masks) -> None:
        self.table, self.stacked = engine.storage.relative, stacked
        super().__init__(
            engine.architecture, engine.storage.slots, engine.storage.norms, stacked, masks
        )

    def bias(self, at: int) -> torch.Tensor | None:
        bucket = self.stacked.buckets[at]
        if self.table is None:
            return bucket.mask
        bias = torch.cat(
            [
                self.relative(bucket.width, self.table[run]).expand(
                    self.stacked.runs[run].buckets[own].count, -1, -1, -1
                )
                for run, own in self.stacked.members[at]
            ]
        )
        return bias if bucket.mask is None else bias + bucket.mask
