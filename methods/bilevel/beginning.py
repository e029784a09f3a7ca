"""Where an optimisation begins: the learner, the first embeddings and attention labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmark.core.finetune.side_by_side import free_memory
from benchmark.core.pool import Pool
from methods.bilevel.learnable import Layout, Learnable, from_rows, noise
from methods.bilevel.memory import bytes_needed
from methods.bilevel.outer import OuterPlan
from methods.bilevel.source import TransformerSource

if TYPE_CHECKING:
    from methods.tdd import TDD

QUERIES = {"none": 0, "cls": 1, "all": None}


def transformer_source(method: TDD, pool: Pool) -> TransformerSource:
    """The method's learner, with the whole pool tokenised."""
    return TransformerSource(
        Path(pool.services.model(method.learner)),
        pool.texts(),
        pool.labels,
        len(pool.classes),
        max_length=512,
        attention_weight=method.attention_weight,
        precision=method.precision,
    )


def first_values(
    method: TDD,
    source: TransformerSource,
    pool: Pool,
    layout: Layout,
    length: int,
    rng: np.random.Generator,
) -> Learnable:
    """What the optimiser starts from.

    Embeddings of `start="words"` are those of random real rows of the row's class; attention labels
    start from N(0, 1), as in Maekawa et al.'s code.
    """
    classes = layout.labels
    if method.start == "noise":
        seed = int(rng.integers(2**63))
        embeddings = noise(len(classes), length, source.width, method.scale, seed)
    else:
        rows = np.empty(len(classes), dtype=np.int64)
        for label, size in enumerate(layout.per_class):
            members = np.flatnonzero(pool.labels == label)
            rows[classes == label] = rng.choice(members, size, replace=size > len(members))
        tokens = [source.tokens.take([row]).ids for row in rows]
        padding = source.pretrained.tokenizer.pad_token_id or 0
        embeddings = from_rows(source.table, tokens, length, padding)
    attention = None
    if method.attention != "none":
        queries = QUERIES[method.attention] or length
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        shape = (len(classes), *source.heads, queries, length)
        attention = torch.randn(shape, generator=generator)
    return Learnable(
        layout, len(pool.classes), embeddings, method.inner_rate, method.labels, attention
    )


def predicted_bytes(
    source: TransformerSource, layout: Layout, length: int, plan: OuterPlan, attention: bool
) -> tuple[float, float]:
    """What an outer step will need, and what is free, in bytes."""
    layers, heads = source.heads
    trained = sum(w.numel() for w in source.start(0).values())
    needed = bytes_needed(
        trained,
        [len(rows) for rows in layout.order],
        length,
        source.width,
        layers,
        heads,
        replay=plan.replay,
        attention=attention,
    )
    return needed, free_memory(source.engine.device)
