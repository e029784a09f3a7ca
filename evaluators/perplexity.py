"""How surprising a set's texts are to a causal language model: do they read like language?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmark.core.assets import load_causal_lm, load_tokenizer

LONGEST = 512
"""Tokens of a text that are read; what comes after them is not."""

BATCH_TOKENS = 1_024
"""Padded tokens that are read at once: each has a logit for every word of the vocabulary."""


class PerplexityJudge:
    """A language model that reads texts and tells their perplexity.

    Parameters
    ----------
    folder : of the model and its tokenizer.

    Raises `ValueError` for a model that does not predict each token from those before it.
    """

    def __init__(self, folder: Path) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model = load_causal_lm(folder, "float32")
        self.model.requires_grad_(False).to("cuda" if torch.cuda.is_available() else "cpu")
        begins = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        self.first = next((token for token in begins if token is not None), None)
        if self.first is None or not self._looks_back_only():
            raise ValueError(f"{folder.name} is no model of text from left to right")
        self.longest = min(LONGEST, getattr(self.model.config, "max_position_embeddings", LONGEST))

    @torch.inference_mode()
    def _looks_back_only(self) -> bool:
        """Whether what follows a token leaves its logits alone: encoders load as well."""
        rows = torch.tensor([[self.first, 0, 1], [self.first, 0, 2]], device=self.model.device)
        one, other = self.model(input_ids=rows, use_cache=False).logits[:, :2]
        return torch.allclose(one, other, rtol=1e-4, atol=1e-4)

    @torch.inference_mode()
    def perplexity(self, columns: Mapping[str, Sequence[str]]) -> float:
        """Return exp of the mean negative log-likelihood of a token, over all texts of a set.

        Every text stands alone, after the model's token for a beginning; both texts of a pair
        count. NaN for a set without a token.
        """
        texts = [text for column in columns.values() for text in column]
        rows = [self._tokens(text) for text in texts]
        rows = sorted((row for row in rows if len(row) > 1), key=len)
        total, count = 0.0, 0
        while rows:
            most = max(1, BATCH_TOKENS // len(rows[-1]))
            batch, rows = rows[-most:], rows[:-most]
            total += self._nll(batch)
            count += sum(len(row) - 1 for row in batch)
        return math.exp(total / count) if count else math.nan

    def _tokens(self, text: str) -> list[int]:
        ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return [self.first, *ids][: self.longest]

    def _nll(self, batch: Sequence[Sequence[int]]) -> float:
        """Sum over the tokens of a batch, laid out with padding behind, which none of them sees."""
        width = max(map(len, batch))
        ids = np.full((len(batch), width), self.first)
        predicted = np.zeros((len(batch), width - 1), dtype=bool)
        for place, row in enumerate(batch):
            ids[place, : len(row)] = row
            predicted[place, : len(row) - 1] = True
        tokens = torch.from_numpy(ids).to(self.model.device)
        at = torch.from_numpy(predicted).to(self.model.device)
        logits = self.model(input_ids=tokens, use_cache=False).logits[:, :-1][at]
        return float(cross_entropy(logits.float(), tokens[:, 1:][at], reduction="sum"))
