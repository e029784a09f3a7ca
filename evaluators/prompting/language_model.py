"""A causal language model that reads a prefix once and many rows after it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from benchmark.core.assets import load_causal_lm, load_tokenizer
from benchmark.core.precision import computed_in, name_of
from evaluators.prompting.labels import ROOT, LabelTree

# What a model does to logits after its output layer, which is read here directly.
RESCALING = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class SharedLayer(DynamicLayer):
    """Keys and values of one prefix, put before those of every row and never added to."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the prefix and the new states together; nothing is kept."""
        size = (len(key_states), -1, -1, -1)
        keys = torch.cat([self.keys.expand(size), key_states], dim=-2)
        values = torch.cat([self.values.expand(size), value_states], dim=-2)
        return keys, values


@dataclass(frozen=True)
class Prefix:
    """Keys and values of a prompt's beginning: one pair of tensors per layer."""

    states: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    def first(self, length: int) -> Cache:
        """Return the first `length` tokens, which never depend on those after them."""
        return Cache(
            layers=[SharedLayer(k[:, :, :length], v[:, :, :length]) for k, v in self.states]
        )


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model with its tokenizer; `max_context` is the longest prompt it can read.

    `cache_argument` is what its transformers calls the cache: `past_key_values` before 5.24.
    """

    tokenizer: Any
    model: Any
    max_context: int
    cache_argument: str

    @torch.inference_mode()
    def read(self, tokens: np.ndarray) -> Prefix:
        """Read the tokens that all rows share."""
        cache = DynamicCache()
        self._hidden(tokens[None], np.arange(len(tokens))[None], None, cache)
        return Prefix(tuple((layer.keys, layer.values) for layer in cache.layers))

    @torch.inference_mode()
    def score(
        self, prefix: Prefix, length: int, rows: list[np.ndarray], tree: LabelTree
    ) -> np.ndarray:
        """Return log-probabilities of the labels after `length` tokens of prefix and each row.

        The label tree stands behind each row, its tokens seeing the row and their own path only;
        what is behind that is padding, which nothing sees.
        """
        lengths = np.array([len(row) for row in rows])
        size = len(tree.tokens)
        ids = np.zeros((len(rows), lengths.max() + size), dtype=np.int64)
        inside = np.minimum(np.arange(ids.shape[1]), lengths.max() - 1)  # padding stays in range
        positions = np.tile(inside, (len(rows), 1))
        at = lengths[:, None] + np.arange(size)  # columns of the tree's tokens
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        np.put_along_axis(ids, at, tree.tokens[None].repeat(len(rows), 0), axis=1)
        np.put_along_axis(positions, at, lengths[:, None] + tree.depths, axis=1)
        mask = self._tree_mask(at, ids.shape[1], length, tree) if size else None
        hidden = self._hidden(ids, positions + length, mask, prefix.first(length))
        scores = np.zeros((len(rows), tree.n_classes))
        everyone = torch.arange(len(rows), device=hidden.device)
        for branch in tree.branches:
            column = lengths - 1 if branch.node == ROOT else at[:, branch.node]
            states = hidden[everyone, self._tensor(column)]
            logits = self._logits(states, self._tensor(branch.tokens))
            chosen = logits.log_softmax(dim=1).cpu().numpy()[:, branch.choices]
            scores[:, branch.classes] += chosen
        return scores

    def _hidden(
        self, ids: np.ndarray, positions: np.ndarray, mask: torch.Tensor | None, cache: Cache
    ) -> torch.Tensor:
        return self.model.base_model(
            input_ids=self._tensor(ids),
            position_ids=self._tensor(positions),
            attention_mask=mask,
            use_cache=True,
            **{self.cache_argument: cache},
        ).last_hidden_state

    def _logits(self, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of a few tokens only; the vocabulary is large. Shape (n, tokens), float32."""
        head = self.model.get_output_embeddings()
        logits = states.float() @ head.weight[tokens].float().T
        return logits if head.bias is None else logits + head.bias[tokens].float()

    def _tree_mask(self, at: np.ndarray, width: int, length: int, tree: LabelTree) -> torch.Tensor:
        """What is added to attention scores, shape (rows, 1, width, length + width)."""
        sees = np.tril(np.ones((width, width), dtype=bool))[None].repeat(len(at), 0)
        rows = np.arange(len(at))[:, None, None]
        sees[rows, at[:, :, None], at[:, None, :]] = tree.ancestry()
        sees = np.concatenate([np.ones((len(at), width, length), dtype=bool), sees], axis=2)
        dtype = self.model.dtype
        mask = torch.zeros(sees.shape, dtype=dtype, device=self.model.device)
        return mask.masked_fill_(~self._tensor(sees), torch.finfo(dtype).min)[:, None]

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.model.device)


@lru_cache(maxsize=1)
def held(folder: Path, precision: str) -> LanguageModel:
    """Return the model in `folder`, on the GPU if there is one; the last one is kept."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_causal_lm(folder, name_of(computed_in(precision, device)))
    for name in RESCALING:
        if getattr(model.config, name, None) not in (None, 1.0):
            raise ValueError(f"{folder.name}: a model with {name} is not known how to read")
    model.requires_grad_(False).to(device)
    longest = getattr(model.config, "max_position_embeddings", None)
    known = inspect.signature(model.base_model.forward).parameters
    return LanguageModel(
        load_tokenizer(folder),
        model,
        longest or 2**31,
        "cache" if "cache" in known else "past_key_values",
    )
