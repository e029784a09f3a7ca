"""Classifiers that read input embeddings in place of tokens, as functions of their weights."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch.func import functional_call

from benchmark.core.errors import InputError

Weights = dict[str, torch.Tensor]
LEAST_ATTENTION = 1e-12  # a logarithm is taken of it


class EmbeddedRows(NamedTuple):
    """A batch: embeddings (n, length, d), targets (n, C), attention labels or None.

    Attention labels are probabilities over keys, shape (n, layers, heads, queries, length).
    """

    embeddings: torch.Tensor
    targets: torch.Tensor
    attention: torch.Tensor | None = None


class EmbeddedClassifier:
    """A transformers classifier with the weights given from outside.

    All weights but the table of word embeddings, which input embeddings stand in for. Attention is
    computed in the plain way, the only one that can be differentiated twice.

    Raises `InputError` for a model that cannot be given input embeddings.
    """

    def __init__(self, model: Any) -> None:
        if "inputs_embeds" not in inspect.signature(model.forward).parameters:
            raise InputError(f"{type(model).__name__} cannot read input embeddings")
        table = model.get_input_embeddings().weight
        self.model = model
        self.table = next(name for name, p in model.named_parameters() if p is table)
        self.width = int(table.shape[1])

    def start(self) -> Weights:
        """Copy the live weights."""
        return {
            name: p.detach().clone()
            for name, p in self.model.named_parameters()
            if name != self.table
        }

    def whole(self, weights: Weights) -> Weights:
        """The weights with the live model's table, as an engine restores them."""
        return {**weights, self.table: self.model.get_parameter(self.table).detach()}

    def logits(
        self, weights: Mapping[str, torch.Tensor], embeddings: torch.Tensor, attention: bool = False
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Compute logits (n, C), and attention of each layer (n, heads, length, length) if asked.

        In the model's present mode: dropout is off unless somebody called `train`.
        """
        with _plain_attention(self.model):
            result = functional_call(
                self.model,
                dict(weights),
                kwargs={"inputs_embeds": embeddings, "output_attentions": attention},
            )
        return result.logits.float(), result.attentions if attention else ()

    def loss(
        self, weights: Mapping[str, torch.Tensor], rows: EmbeddedRows, attention_weight: float = 0.0
    ) -> torch.Tensor:
        """Mean cross-entropy with the targets, plus the weighted divergence of attention.

        The divergence KL(label || attention) is summed over keys and averaged over rows, layers,
        heads and queries (Maekawa et al., ACL 2023, equation 8).
        """
        asked = rows.attention is not None
        logits, attentions = self.logits(weights, rows.embeddings, asked)
        loss = -(rows.targets * logits.log_softmax(1)).sum(1).mean()
        if rows.attention is None:
            return loss
        found = torch.stack(attentions, dim=1)[:, :, :, : rows.attention.shape[3]]
        return loss + attention_weight * divergence(rows.attention, found)


def divergence(labels: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """KL(labels || attention) over the last dimension, averaged over all others."""
    ratio = labels.clamp(min=LEAST_ATTENTION).log() - attention.clamp(min=LEAST_ATTENTION).log()
    return (labels * ratio).sum(-1).mean()


@contextlib.contextmanager
def _plain_attention(model: Any) -> Iterator[None]:
    config = model.config
    before = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = before
