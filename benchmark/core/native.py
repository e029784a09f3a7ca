"""The native recipe of an embedding-level set: the steps that it was optimised for.

Sets of TDD and its family are no training data for any trainer: they are input embeddings with
labels, an order and a learning rate for every step, which together move one pretrained classifier
to where it should be. The recipe travels with the set: numbers that were learned in its arrays,
the rest in its `recipe`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import InputError

EMBEDDINGS, RATES, ATTENTION = "embeddings", "learning_rates", "attention_labels"
KIND = "gradient-steps"


@dataclass(frozen=True)
class NativeRecipe:
    """Plain gradient steps on all weights but the word table, without dropout.

    Attributes
    ----------
    model : catalogue name of the classifier that the embeddings are made for.
    order : the rows of each step, T tuples of row numbers.
    rates : learning rate of each step, shape (T,).
    momentum : of the steps; v <- momentum v + gradient, w <- w - rate v.
    label_type : `hard`, `soft` or `unrestricted` (any vector as target of the cross-entropy).
    attention : queries whose attention has labels: `none`, `cls` (the first) or `all`.
    attention_weight : what the divergence from those labels counts beside the cross-entropy.
    start_seed : seed of the one network that the set was made for; None for any.
    """

    model: str
    order: tuple[tuple[int, ...], ...]
    rates: np.ndarray
    momentum: float = 0.0
    label_type: str = "soft"
    attention: str = "none"
    attention_weight: float = 1.0
    start_seed: int | None = None

    def as_json(self) -> dict[str, Any]:
        """What `DistilledSet.recipe` holds."""
        return {
            "kind": KIND,
            "model": self.model,
            "order": [list(rows) for rows in self.order],
            "momentum": self.momentum,
            "label_type": self.label_type,
            "attention": self.attention,
            "attention_weight": self.attention_weight,
            "start_seed": self.start_seed,
        }

    @classmethod
    def of(cls, distilled: DistilledSet) -> NativeRecipe:
        """Read a set's recipe; raises `InputError` where it is none, or does not fit its arrays."""
        body: Mapping[str, Any] = distilled.recipe or {}
        if body.get("kind") != KIND:
            raise InputError(f"the set's recipe is {body.get('kind')!r}, not {KIND!r}")
        for name in (EMBEDDINGS, RATES):
            if name not in distilled.arrays:
                raise InputError(f"an embedding-level set without the array {name!r}")
        order = tuple(tuple(int(row) for row in rows) for rows in body["order"])
        rates = distilled.arrays[RATES]
        if rates.shape != (len(order),):
            raise InputError(f"{len(order)} steps, but learning rates of shape {rates.shape}")
        if {row for rows in order for row in rows} - set(range(len(distilled))):
            raise InputError(f"a step names rows beyond the {len(distilled)} of the set")
        return cls(
            body["model"], order, rates, body["momentum"], body["label_type"], body["attention"],
            body["attention_weight"], body.get("start_seed"),
        )  # fmt: skip


def embedding_set(
    embeddings: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    recipe: NativeRecipe,
    attention: np.ndarray | None = None,
    notes: Mapping[str, float] | None = None,
) -> DistilledSet:
    """Make an embedding-level set.

    Parameters
    ----------
    embeddings : in place of word embeddings, float32 of shape (n, length, d).
    labels : class indices (n,) or target vectors (n, C).
    attention : attention labels, shape (n, layers, heads, queries, length).
    notes : what a person should know of how it was made; no part of the set's hash.
    """
    arrays = {EMBEDDINGS: embeddings, RATES: recipe.rates}
    if attention is not None:
        arrays[ATTENTION] = attention
    return DistilledSet(
        classes=tuple(classes), labels=labels, arrays=arrays, recipe=recipe.as_json(),
        notes=dict(notes or {}),
    )  # fmt: skip
