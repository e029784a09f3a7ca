"""Learners whose last-layer gradients are matched: they read embeddings in place of tokens.

Of a text only its free positions are learned; what stands around it (a prompt, separators) is
fixed. `pieces[i]` are the token ids before the i-th text of a row, the last piece those after all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from benchmark.core.assets import load_causal_lm, load_tokenizer
from benchmark.core.finetune.engine import last_linear
from benchmark.core.finetune.pretrained import held
from benchmark.core.pool import Pool
from benchmark.core.seeding import isolated_torch_rng
from methods.gradient_matching.closed_form import LastLayer
from methods.language_models.generator import device
from methods.readable.room import LONGEST, ROOM
from methods.readable.vocabulary import label_tokens

TOKENS_AT_ONCE = 2048


class GradientLearner(ABC):
    """A model as gradient matching of embeddings sees it; weights never change.

    Attributes
    ----------
    table : word embeddings, shape (V, d).
    tokenizer : of the model.
    """

    table: torch.Tensor
    tokenizer: Any

    @abstractmethod
    def pieces(self, label: int, columns: int) -> list[list[int]]:
        """Fixed token ids around the texts of a row of this class: `columns` + 1 lists."""

    @abstractmethod
    def predictions(self, label: int) -> int:
        """How many rows of the last layer an example of this class has."""

    @abstractmethod
    def _read(self, embeddings: torch.Tensor, mask: torch.Tensor, label: int) -> LastLayer:
        """Read embeddings (n, T, d) under a mask (n, T) whose padding is on the right."""

    def layer(self, free: Sequence[torch.Tensor], label: int) -> LastLayer:
        """The last layer on rows whose texts are embeddings: one tensor (n, L, d) a text."""
        pieces = [self.table[torch.tensor(ids, dtype=torch.long, device=self.table.device)]
                  for ids in self.pieces(label, len(free))]  # fmt: skip
        n = len(free[0])
        parts = [pieces[0].expand(n, -1, -1)]
        for text, piece in zip(free, pieces[1:], strict=True):
            parts += [text, piece.expand(n, -1, -1)]
        whole = torch.cat(parts, 1)
        return self._read(whole, torch.ones(whole.shape[:2], dtype=torch.long), label)

    @torch.no_grad()
    def layer_of_tokens(self, rows: Sequence[Sequence[np.ndarray]], label: int) -> LastLayer:
        """The last layer on rows of token ids, examples in order."""
        ids = self._laid_out(rows, label)
        found: list[LastLayer | None] = [None] * len(ids)
        lengths = np.array([len(row) for row in ids])
        order = np.argsort(-lengths, kind="stable")
        size = max(1, TOKENS_AT_ONCE // int(lengths.max()))
        each = self.predictions(label)
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            part = self._read(*self._padded([ids[i] for i in chosen]), label)
            for place, i in enumerate(chosen):
                at = slice(place * each, (place + 1) * each)
                found[i] = LastLayer(part.inputs[at], part.errors[at])
        layers = [layer for layer in found if layer is not None]
        return LastLayer(
            torch.cat([layer.inputs for layer in layers]),
            torch.cat([layer.errors for layer in layers]),
        )

    def _laid_out(self, rows: Sequence[Sequence[np.ndarray]], label: int) -> list[list[int]]:
        pieces = self.pieces(label, len(rows[0]))
        ids = []
        for texts in rows:
            row = list(pieces[0])
            for text, piece in zip(texts, pieces[1:], strict=True):
                row += [*map(int, text), *piece]
            ids.append(row)
        return ids

    def _padded(self, ids: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(map(len, ids))
        padded = torch.zeros(len(ids), width, dtype=torch.long)
        mask = torch.zeros(len(ids), width, dtype=torch.long)
        for i, row in enumerate(ids):
            padded[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        return self.table[padded.to(self.table.device)], mask

    @property
    @abstractmethod
    def gradient_shape(self) -> tuple[int, int]:
        """Shape of the last layer's gradient."""

    def rows_of(self, pool: Pool, rows: np.ndarray) -> list[list[np.ndarray]]:
        """Token ids of a pool's rows without special tokens: one array a text, cut where too long.

        A space is put before each text: its first word is then the same token as within one.
        """
        longest = LONGEST // len(pool.text_columns) - ROOM
        columns = [
            self.tokenizer(
                [f" {text.strip()}" for text in texts], add_special_tokens=False, verbose=False
            )["input_ids"]
            for texts in pool.texts(rows).values()
        ]
        return [
            [np.array(text[:longest], dtype=np.int64) for text in row]
            for row in zip(*columns, strict=True)
        ]


class PromptLearner(GradientLearner):
    """A causal language model that is asked for the label word after the text.

    The loss is the cross-entropy of the label word's tokens (of its first one, where those differ
    between all classes), the gradient that of the output layer.

    Parameters
    ----------
    prompt : what follows the text; the label word comes next.
    vocabulary : `all` tokens are told apart by the softmax, as in the paper, or those of the
        `labels` alone: the gradient then has a row for each of these and not one for every token.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        words: Sequence[str],
        prompt: str,
        vocabulary: Literal["all", "labels"],
    ) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.model = load_causal_lm(folder, "float32").requires_grad_(False).to(device())
        self.table = self.model.get_input_embeddings().weight
        self.labels = label_tokens(self.tokenizer, words, name)
        plain = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = self.tokenizer("a")["input_ids"]
        self.lead = [int(i) for i in whole[: whole.index(plain[0])]]
        self.prompt = self._ids(prompt)
        head = self.model.get_output_embeddings()
        kept = sorted({token for ids in self.labels for token in ids})
        self.kept = torch.arange(len(head.weight)) if vocabulary == "all" else torch.tensor(kept)
        self.weight = head.weight if vocabulary == "all" else head.weight[self.kept]
        bias = getattr(head, "bias", None)
        self.bias = None if bias is None else bias[self.kept]
        place = {int(token): at for at, token in enumerate(self.kept)}
        self.targets = [torch.tensor([place[token] for token in ids]) for ids in self.labels]

    def _ids(self, text: str) -> list[int]:
        return [int(i) for i in self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def pieces(self, label: int, columns: int) -> list[list[int]]:
        between = [self._ids("\n")] * (columns - 1)
        return [self.lead, *between, [*self.prompt, *self.labels[label][:-1]]]

    def predictions(self, label: int) -> int:
        return len(self.labels[label])

    @property
    def gradient_shape(self) -> tuple[int, int]:
        return len(self.kept), self.weight.shape[1] + (self.bias is not None)

    def _hidden(self, embeddings: torch.Tensor, mask: torch.Tensor, last: int) -> torch.Tensor:
        """Hidden states at the last `last` positions of each row, shape (n * last, d)."""
        mask = mask.to(embeddings.device)
        states = self.model.base_model(
            inputs_embeds=embeddings, attention_mask=mask, use_cache=False
        ).last_hidden_state
        at = mask.sum(1, keepdim=True) - last + torch.arange(last, device=mask.device)
        return states.gather(1, at[..., None].expand(-1, -1, states.shape[2])).flatten(0, 1)

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = hidden @ self.weight.T
        return logits if self.bias is None else logits + self.bias

    def _read(self, embeddings: torch.Tensor, mask: torch.Tensor, label: int) -> LastLayer:
        targets = self.targets[label]
        hidden = self._hidden(embeddings, mask, len(targets))
        layer = LastLayer.of(hidden, self._logits(hidden), targets.repeat(len(embeddings)))
        # Most output layers have no bias, whose gradient the appended ones stand for.
        return layer if self.bias is not None else LastLayer(layer.inputs[:, :-1], layer.errors)

    @torch.no_grad()
    def label_scores(self, rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
        """Mean log-probability of every label word's tokens after each row, shape (n, C)."""
        scores = np.empty((len(rows), len(self.labels)))
        for label, targets in enumerate(self.targets):
            ids = self._laid_out(rows, label)
            size = max(1, TOKENS_AT_ONCE // max(map(len, ids)))
            for start in range(0, len(ids), size):
                hidden = self._hidden(*self._padded(ids[start : start + size]), len(targets))
                chances = self._logits(hidden).log_softmax(1).view(-1, len(targets), len(self.kept))
                chosen = chances[:, torch.arange(len(targets)), targets].mean(1)
                scores[start : start + size, label] = chosen.cpu().numpy()
        return scores


class ClassifierLearner(GradientLearner):
    """An encoder with a new head, drawn from a seed; the gradient is its last layer's.

    Rows are laid out as the tokenizer does, special tokens around the texts.
    """

    def __init__(self, folder: Path, n_classes: int, seed: int) -> None:
        pretrained = held(folder, n_classes)
        with isolated_torch_rng(seed):
            pretrained.reset()
        self.model = pretrained.model.eval().to(device())
        self.tokenizer = pretrained.tokenizer
        self.table = self.model.get_input_embeddings().weight.detach()
        self.last = last_linear(self.model)
        self.n_classes = n_classes

    def pieces(self, label: int, columns: int) -> list[list[int]]:
        texts = ["a"] * columns
        (mark,) = self.tokenizer("a", add_special_tokens=False)["input_ids"][:1]
        whole = self.tokenizer(*texts)["input_ids"]
        places = [at for at, token in enumerate(whole) if token == mark]
        starts, ends = [0, *(at + 1 for at in places)], [*places, len(whole)]
        return [list(map(int, whole[a:b])) for a, b in zip(starts, ends, strict=True)]

    def predictions(self, label: int) -> int:
        return 1

    @property
    def gradient_shape(self) -> tuple[int, int]:
        return self.last.out_features, self.last.in_features + 1

    def _run(
        self, embeddings: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        seen: list[torch.Tensor] = []
        hook = self.last.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
        try:
            logits = self.model(
                inputs_embeds=embeddings, attention_mask=mask.to(embeddings.device)
            ).logits
        finally:
            hook.remove()
        return seen[0].reshape(len(logits), -1), logits

    def _read(self, embeddings: torch.Tensor, mask: torch.Tensor, label: int) -> LastLayer:
        features, logits = self._run(embeddings, mask)
        labels = torch.full((len(features),), label)
        return LastLayer.of(features, logits, labels)
