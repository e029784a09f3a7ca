"""Which engine trains a model."""

from __future__ import annotations

import torch

from benchmark.core.finetune.architecture import architecture_of
from benchmark.core.finetune.engine import Engine, PaddedEngine
from benchmark.core.finetune.packed import PackedEngine
from benchmark.core.finetune.pretrained import Pretrained


def engine_for(pretrained: Pretrained, kind: str = "auto") -> Engine:
    """Return the engine of a checkpoint, made once and kept with it.

    `"auto"` packs where the architecture is known and pads otherwise; `"padded"` always pads.
    """
    if kind not in pretrained.engines:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        known = architecture_of(pretrained.model) if kind == "auto" else None
        if known is None:
            pretrained.engines[kind] = PaddedEngine(pretrained, device)
        else:
            pretrained.engines[kind] = PackedEngine(pretrained, known, device)
    return pretrained.engines[kind]
