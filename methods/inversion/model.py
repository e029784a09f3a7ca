"""The two models of vec2text: zero-step inversion and the corrector, both on a T5.

Morris et al., "Text embeddings reveal (almost) as much as text", EMNLP 2023, sections 4 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from methods.inversion.writer import Grammar, Writer

PSEUDO_TOKENS = 16
DROPOUT = 0.1
IGNORED = -100


class Projection(nn.Module):
    """A vector of d numbers as 16 pseudo-tokens: two linear layers with a GELU between.

    The vector is multiplied by `scale`, so that its numbers are about 1 in size. Those of a unit
    vector are so small that the layers' biases drown them, and an inverter from scratch would
    spend its first thousands of steps on writing one and the same row.
    """

    def __init__(self, dimension: int, width: int, dropout: float, scale: float) -> None:
        super().__init__()
        self.width = width
        self.scale = scale
        self.inner = nn.Linear(dimension, dimension)
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Linear(dimension, PSEUDO_TOKENS * width)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return (rows, 16, width) of vectors (rows, d)."""
        hidden = nn.functional.gelu(self.dropout(self.inner(self.scale * vectors)))
        return self.outer(hidden).view(len(vectors), PSEUDO_TOKENS, self.width)


class _Inverter(nn.Module):
    """What both models share: a T5 that reads embeddings and writes rows."""

    def __init__(self, t5: Any, writer: Writer, dimension: int, scale: float) -> None:
        super().__init__()
        self.t5 = t5
        self.writer = writer
        self.dimension = dimension
        self.scale = scale

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.parameters()).device

    def loss(self, inputs: tuple[torch.Tensor, torch.Tensor], rows: Sequence[np.ndarray]) -> Any:
        """Cross-entropy of the rows' tokens, summed; `inputs` are embeddings and their mask."""
        embedded, mask = inputs
        labels = padded(rows, IGNORED).to(self.device)
        before = self.t5.prepare_decoder_input_ids_from_labels(labels)
        logits = self.t5(
            inputs_embeds=embedded, attention_mask=mask, decoder_input_ids=before, use_cache=False
        ).logits
        return nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )

    @torch.inference_mode()
    def write(self, inputs: tuple[torch.Tensor, torch.Tensor], beams: int) -> list[np.ndarray]:
        """Write `beams` rows for each input by beam search (greedily for one), best first."""
        embedded, mask = inputs
        made = self.t5.generate(
            inputs_embeds=embedded,
            attention_mask=mask,
            max_new_tokens=self.writer.max_length,
            num_beams=beams,
            num_return_sequences=beams,
            do_sample=False,
            logits_processor=[Grammar(self.writer)],
        )
        return list(made[:, 1:].cpu().numpy())


class ZeroStep(_Inverter):
    """Writes a row from its embedding alone: T5 on 16 pseudo-tokens (section 4)."""

    def __init__(self, t5: Any, writer: Writer, dimension: int, scale: float) -> None:
        super().__init__(t5, writer, dimension, scale)
        self.project = Projection(dimension, t5.config.d_model, DROPOUT, scale)

    def inputs(self, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings and mask for target vectors (rows, d)."""
        embedded = self.project(targets)
        return embedded, torch.ones(embedded.shape[:2], dtype=torch.long, device=self.device)


class Corrector(_Inverter):
    """Writes a row anew from its embedding, a hypothesis and the hypothesis's embedding.

    It reads sep, P1(e), sep, P3(e'), sep, P2(e - e'), sep and the hypothesis's tokens, with a layer
    norm on all (section 4, equation 3; the order is the released code's); `sep` is the end token.
    """

    def __init__(self, t5: Any, writer: Writer, dimension: int, scale: float) -> None:
        super().__init__(t5, writer, dimension, scale)
        width = t5.config.d_model
        self.of_target = Projection(dimension, width, 0.0, scale)
        self.of_hypothesis = Projection(dimension, width, 0.0, scale)
        self.of_difference = Projection(dimension, width, 0.0, scale)
        self.norm = nn.LayerNorm(width)

    def start_from(self, zero: ZeroStep) -> None:
        """Take over what a zero-step model has learned of writing and of reading embeddings."""
        self.t5.load_state_dict(zero.t5.state_dict())
        self.of_target.load_state_dict(zero.project.state_dict())

    def inputs(
        self, targets: torch.Tensor, features: torch.Tensor, hypotheses: Sequence[np.ndarray]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings and mask for targets and hypotheses' features (rows, d), and their ids."""
        tokens = padded(hypotheses, self.writer.pad).to(self.device)
        table = self.t5.get_input_embeddings()
        sep = table.weight[self.writer.eos].expand(len(targets), 1, -1)
        parts = [
            sep, self.of_target(targets),
            sep, self.of_hypothesis(features),
            sep, self.of_difference(targets - features),
            sep, table(tokens),
        ]  # fmt: skip
        embedded = self.norm(torch.cat(parts, dim=1))
        mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=self.device)
        mask[:, -tokens.shape[1] :] = (tokens != self.writer.pad).long()
        return embedded, mask


def padded(rows: Sequence[np.ndarray], value: int) -> torch.Tensor:
    """Stack rows of ids, filled up at their ends."""
    out = torch.full((len(rows), max(map(len, rows))), value, dtype=torch.long)
    for place, row in enumerate(rows):
        out[place, : len(row)] = torch.from_numpy(row)
    return out
