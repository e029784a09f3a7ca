"""One run of a T5 that names classes: train on a set's rows, then score every class's name."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmark.core.assets import load_seq2seq, load_tokenizer
from benchmark.core.finetune.batches import evaluation_batches, training_batches
from benchmark.core.finetune.engine import decay_groups
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.learner import Outcome
from benchmark.core.seeding import isolated_torch_rng, numpy_generator, seed_of

TOKENS_PER_BATCH = 8_192
IGNORED = -100
LORA_DROPOUT = 0.1


@dataclass(frozen=True)
class Namer:
    """A pretrained T5, its tokenizer, and the classes' names as tokens, the end included."""

    model: Any
    tokenizer: Any
    names: tuple[tuple[int, ...], ...]
    max_length: int

    @classmethod
    def load(cls, folder: Path, classes: Sequence[str], max_length: int) -> Namer:
        """Load a T5 for a task's classes; the model is kept for the next cell."""
        model, tokenizer = _held(folder)
        words = [name.replace("_", " ").strip() for name in classes]
        return cls(model, tokenizer, tuple(map(tuple, tokenizer(words)["input_ids"])), max_length)

    def read(self, columns: Mapping[str, Sequence[str]]) -> list[np.ndarray]:
        """Token ids of each row; of a pair, each text has the name of its column before it.

        A row that is too long loses tokens at the end of its longer text.
        """
        if len(columns) == 1:
            (texts,) = columns.values()
            rows = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)
            return [np.array(row, dtype=np.int64) for row in rows["input_ids"]]
        named = [[f"{name}: {text}" for text in texts] for name, texts in columns.items()]
        pairs = self.tokenizer(
            *named,
            add_special_tokens=False,  # T5 would end the first text as well
            truncation="longest_first",
            max_length=self.max_length - 1,
        )
        end = self.tokenizer.eos_token_id
        return [np.array([*row, end], dtype=np.int64) for row in pairs["input_ids"]]


@lru_cache(maxsize=1)
def _held(folder: Path) -> tuple[Any, Any]:
    return load_seq2seq(folder), load_tokenizer(folder)


def train_and_score(
    namer: Namer,
    recipe: Recipe,
    rows: Sequence[np.ndarray],
    labels: np.ndarray,
    texts: Sequence[np.ndarray],
    seed: int,
    lora_rank: int,
) -> Outcome:
    """Train a copy of the pretrained model on `rows` and score the classes of `texts`.

    `labels` are classes, shape (n,), or probabilities, shape (n, C). The seed draws LoRA's first
    weights and dropout; batches have a stream of their own.
    """
    started = time.perf_counter()
    order = numpy_generator(seed_of("batch-order", seed=seed))
    size = recipe.rows_per_step(len(rows))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with isolated_torch_rng(seed):
        model = copy.deepcopy(namer.model)
        model = (adapted(model, lora_rank) if lora_rank else model).to(device).train()
        trained = [p for p in model.parameters() if p.requires_grad]
        share = sum(p.numel() for p in trained) / sum(p.numel() for p in namer.model.parameters())
        optimiser = torch.optim.AdamW(list(decay_groups(model, recipe.weight_decay)), lr=0.0)
        loss = torch.zeros(())
        for step, batch in enumerate(training_batches(len(rows), size, recipe.steps, order)):
            optimiser.zero_grad(set_to_none=True)
            loss = _loss(model, namer, [rows[i] for i in batch], labels[batch])
            if not torch.isfinite(loss):
                error = f"the loss left the finite numbers at step {step + 1} of {recipe.steps}"
                return Outcome(None, time.perf_counter() - started, error=error)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, recipe.clip)
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate(step)
            optimiser.step()
    done = time.perf_counter()
    scores = class_scores(model.eval(), namer, texts)
    if not np.isfinite(scores).all():
        error = "the trained model gives scores that are not finite"
        return Outcome(None, done - started, error=error)
    extra = {"last_loss": float(loss.detach()), "trained_share": share}
    return Outcome(scores, done - started, time.perf_counter() - done, extra=extra)


def adapted(model: Any, rank: int) -> Any:
    """Freeze a T5 and add LoRA of this rank to its queries and values."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=LORA_DROPOUT,
        target_modules=["q", "v"],
        task_type="SEQ_2_SEQ_LM",
    )
    return get_peft_model(model, config)


@torch.no_grad()
def class_scores(model: Any, namer: Namer, texts: Sequence[np.ndarray]) -> np.ndarray:
    """Log-probability of each class's name after each text, float32, shape (n, C).

    A text is encoded once; its names are then scored from what the encoder gave.
    """
    scores = np.empty((len(texts), len(namer.names)), dtype=np.float32)
    lengths = np.array([len(text) for text in texts])
    for batch in evaluation_batches(lengths, TOKENS_PER_BATCH):
        ids, mask = _padded([texts[i] for i in batch], namer, model)
        hidden = model.get_encoder()(input_ids=ids, attention_mask=mask)
        for place, name in enumerate(namer.names):
            targets = torch.tensor([name] * len(batch), device=ids.device)
            logits = model(encoder_outputs=hidden, attention_mask=mask, labels=targets).logits
            found = logits.float().log_softmax(-1).gather(-1, targets[..., None])
            scores[batch, place] = found.sum((1, 2)).cpu().numpy()
    return scores


def _loss(model: Any, namer: Namer, rows: Sequence[np.ndarray], labels: np.ndarray) -> torch.Tensor:
    """Cross-entropy of the names, a mean over each name's tokens, weighted by soft labels."""
    if labels.ndim == 1:
        owners, classes = np.arange(len(rows)), labels
        weights = np.ones(len(rows), dtype=np.float32)
    else:
        owners, classes = np.nonzero(labels > 0)
        weights = labels[owners, classes].astype(np.float32)
    ids, mask = _padded([rows[i] for i in owners], namer, model)
    width = max(map(len, namer.names))
    targets = torch.full((len(owners), width), IGNORED)
    for place, label in enumerate(classes):
        name = namer.names[int(label)]
        targets[place, : len(name)] = torch.tensor(name)
    targets = targets.to(ids.device)
    logits = model(input_ids=ids, attention_mask=mask, labels=targets).logits.float()
    losses = cross_entropy(
        logits.transpose(1, 2), targets, ignore_index=IGNORED, reduction="none"
    ).sum(1) / (targets != IGNORED).sum(1)
    return (losses * torch.from_numpy(weights).to(ids.device)).sum() / len(rows)


def _padded(
    rows: Sequence[np.ndarray], namer: Namer, model: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    device = next(model.parameters()).device
    ids = torch.full((len(rows), max(map(len, rows))), namer.tokenizer.pad_token_id)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.from_numpy(row)
        mask[place, : len(row)] = 1
    return ids.to(device), mask.to(device)
