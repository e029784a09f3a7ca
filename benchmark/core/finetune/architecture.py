"""The parts of BERT-like classifiers under common names, whatever their family calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Block:
    """One post-norm transformer layer."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    output: nn.Linear
    attention_norm: nn.LayerNorm
    widen: nn.Linear
    activation: Callable[[torch.Tensor], torch.Tensor]
    narrow: nn.Linear
    output_norm: nn.LayerNorm


@dataclass(frozen=True)
class Architecture:
    """An encoder with a head that reads its first token.

    Attributes
    ----------
    words, positions, types : embedding tables (`types` may be None).
    position_padding : None where positions count from 0; else the padding id, after which
        positions start and at which literal padding tokens stand (RoBERTa, MPNet).
    relative : table of relative position biases and the function that gives their index, or None.
    drops_attention_output : whether dropout follows the attention's output layer.
    drops_features : whether dropout precedes the head's dense layer.
    """

    words: nn.Embedding
    positions: nn.Embedding
    types: nn.Embedding | None
    norm: nn.LayerNorm
    blocks: tuple[Block, ...]
    heads: int
    dense: nn.Linear
    head_activation: Callable[[torch.Tensor], torch.Tensor]
    classifier: nn.Linear
    position_padding: int | None = None
    relative: tuple[nn.Embedding, Callable[[torch.Tensor], torch.Tensor]] | None = None
    drops_attention_output: bool = True
    drops_features: bool = False

    @property
    def linears(self) -> list[tuple[nn.Linear, ...]]:
        """All linear layers; those of one tuple read the same input and are computed as one."""
        groups: list[tuple[nn.Linear, ...]] = []
        for b in self.blocks:
            groups += [(b.query, b.key, b.value), (b.output,), (b.widen,), (b.narrow,)]
        return [*groups, (self.dense,), (self.classifier,)]

    @property
    def norms(self) -> list[nn.LayerNorm]:
        """All layer norms."""
        pairs = [norm for b in self.blocks for norm in (b.attention_norm, b.output_norm)]
        return [self.norm, *pairs]

    @property
    def tables(self) -> list[nn.Embedding]:
        """Tables of which a set uses a few rows."""
        return [t for t in (self.words, self.positions, self.types) if t is not None]


def architecture_of(model: Any) -> Architecture | None:
    """Describe `model`, or return None when it is none of the known classes.

    Only exact classes count, and every parameter of the model must have its place, so that a
    variant that computes something else takes the general path.
    """
    describe = _KNOWN.get(type(model).__name__)
    if describe is None or not type(model).__module__.startswith("transformers.models."):
        return None
    if getattr(model.config, "is_decoder", False):
        return None
    if getattr(model.config, "position_embedding_type", "absolute") != "absolute":
        return None
    found = describe(model)
    modules = [module for group in found.linears for module in group]
    modules += [*found.norms, *found.tables, *([found.relative[0]] if found.relative else [])]
    known = {id(p) for module in modules for p in module.parameters()}
    return found if known == {id(p) for p in model.parameters()} else None


def _bert_block(layer: Any) -> Block:
    attention = layer.attention
    return Block(
        attention.self.query,
        attention.self.key,
        attention.self.value,
        attention.output.dense,
        attention.output.LayerNorm,
        layer.intermediate.dense,
        layer.intermediate.intermediate_act_fn,
        layer.output.dense,
        layer.output.LayerNorm,
    )


def _bert(model: Any) -> Architecture:
    e = model.bert.embeddings
    return Architecture(
        e.word_embeddings,
        e.position_embeddings,
        e.token_type_embeddings,
        e.LayerNorm,
        tuple(_bert_block(layer) for layer in model.bert.encoder.layer),
        model.config.num_attention_heads,
        model.bert.pooler.dense,
        torch.tanh,
        model.classifier,
    )


def _roberta(model: Any) -> Architecture:
    e = model.roberta.embeddings
    return Architecture(
        e.word_embeddings,
        e.position_embeddings,
        e.token_type_embeddings,
        e.LayerNorm,
        tuple(_bert_block(layer) for layer in model.roberta.encoder.layer),
        model.config.num_attention_heads,
        model.classifier.dense,
        torch.tanh,
        model.classifier.out_proj,
        position_padding=e.padding_idx,
        drops_features=True,
    )


def _distilbert(model: Any) -> Architecture:
    e = model.distilbert.embeddings
    blocks = tuple(
        Block(
            layer.attention.q_lin,
            layer.attention.k_lin,
            layer.attention.v_lin,
            layer.attention.out_lin,
            layer.sa_layer_norm,
            layer.ffn.lin1,
            layer.ffn.activation,
            layer.ffn.lin2,
            layer.output_layer_norm,
        )
        for layer in model.distilbert.transformer.layer
    )
    return Architecture(
        e.word_embeddings,
        e.position_embeddings,
        None,
        e.LayerNorm,
        blocks,
        model.config.n_heads,
        model.pre_classifier,
        torch.relu,
        model.classifier,
        drops_attention_output=False,
    )


def _mpnet(model: Any) -> Architecture:
    e, encoder = model.mpnet.embeddings, model.mpnet.encoder
    blocks = tuple(
        Block(
            layer.attention.attn.q,
            layer.attention.attn.k,
            layer.attention.attn.v,
            layer.attention.attn.o,
            layer.attention.LayerNorm,
            layer.intermediate.dense,
            layer.intermediate.intermediate_act_fn,
            layer.output.dense,
            layer.output.LayerNorm,
        )
        for layer in encoder.layer
    )
    return Architecture(
        e.word_embeddings,
        e.position_embeddings,
        None,
        e.LayerNorm,
        blocks,
        model.config.num_attention_heads,
        model.classifier.dense,
        torch.tanh,
        model.classifier.out_proj,
        position_padding=e.padding_idx,
        relative=(encoder.relative_attention_bias, encoder.relative_position_bucket),
        drops_features=True,
    )


_KNOWN: dict[str, Callable[[Any], Architecture]] = {
    "BertForSequenceClassification": _bert,
    "RobertaForSequenceClassification": _roberta,
    "DistilBertForSequenceClassification": _distilbert,
    "MPNetForSequenceClassification": _mpnet,
}
