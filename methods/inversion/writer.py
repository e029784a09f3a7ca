"""Rows as the token ids that an inverter writes, and back to texts; a grammar that keeps them so.

A row is `TEXT <eos>`, a pair `FIRST <sep> SECOND <eos>`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from benchmark.core.pool import Pool
from methods.language_models.tiny import train_bpe

CHUNK = 1000
VOCABULARY = 4_000
PAD, EOS, SEP = "<pad>", "</s>", "<sep>"


@dataclass(frozen=True)
class Writer:
    """Turns text columns into ids of at most `max_length` tokens, end included, and ids into texts.

    `tokenizer` has a padding and an end token; `separator` is the id between the texts of a pair.
    """

    tokenizer: Any
    separator: int
    n_columns: int
    max_length: int

    @property
    def eos(self) -> int:
        """Id of the end of a row."""
        return int(self.tokenizer.eos_token_id)

    @property
    def pad(self) -> int:
        """Id of padding, with which writing starts as well."""
        return int(self.tokenizer.pad_token_id)

    def encode(self, columns: Mapping[str, Sequence[str]]) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the ids of each row, and which rows were cut, shape (n,).

        A row that is too long loses tokens at the end of its longest text.
        """
        texts = [self._ids(column) for column in columns.values()]
        room = self.max_length - len(texts)
        rows, cut = [], np.zeros(len(texts[0]), dtype=bool)
        for place, parts in enumerate(zip(*texts, strict=True)):
            kept = _lengths([len(part) for part in parts], room)
            cut[place] = sum(kept) < sum(map(len, parts))
            ids: list[int] = []
            for number, (part, length) in enumerate(zip(parts, kept, strict=True)):
                ids += [self.separator] * (number > 0) + part[:length]
            rows.append(np.array([*ids, self.eos], dtype=np.int64))
        return rows, cut

    def decode(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Return the texts of a row that the grammar allows; what follows the end is left out."""
        parts: list[list[int]] = [[]]
        for token in ids:
            if token in (self.eos, self.pad):
                break
            if token == self.separator:
                parts.append([])
            else:
                parts[-1].append(int(token))
        return tuple(
            self.tokenizer.decode(part, clean_up_tokenization_spaces=False).strip()
            for part in parts
        )

    @cached_property
    def visible(self) -> torch.Tensor:
        """Which ids stand for something to be seen even at the start of a text."""
        special = {*self.tokenizer.all_special_ids, self.separator}
        seen = [
            i not in special and self.tokenizer.decode([i]).replace("\ufffd", "").strip() != ""
            for i in range(len(self.tokenizer))
        ]
        return torch.tensor(seen)

    @cached_property
    def writable(self) -> torch.Tensor:
        """Which ids may be written at all, separator and end aside."""
        allowed = torch.ones(len(self.tokenizer), dtype=torch.bool)
        allowed[[*self.tokenizer.all_special_ids, self.separator]] = False
        return allowed

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = []
        for start in range(0, len(texts), CHUNK):
            part = [text.strip() for text in texts[start : start + CHUNK]]
            ids += self.tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


class Grammar:
    """A logits processor that allows whole rows only: no blank text, as many as the task has.

    A text starts with a visible token; the end comes after the last text, a separator after each
    other, at the latest where they must share what room is left.
    """

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Forbid what may not follow; `ids` (rows, so far), the first of which starts writing."""
        w, written = self.writer, ids[:, 1:]
        allowed = torch.zeros_like(scores, dtype=torch.bool)
        size = min(len(w.writable), scores.shape[1])
        texts = (written == w.separator).sum(1) + 1
        opening = ids[:, -1] == w.separator if written.shape[1] else torch.ones_like(texts) > 0
        visible, writable = (known[:size].to(scores.device) for known in (w.visible, w.writable))
        allowed[:, :size] = torch.where(opening[:, None], visible, writable)
        allowed[:, w.eos] = ~opening & (texts == w.n_columns)
        allowed[:, w.separator] = ~opening & (texts < w.n_columns)
        due = allowed[:, w.separator] & (written.shape[1] + 1 >= texts * self._share)
        allowed[due] = False
        allowed[due, w.separator] = True
        return scores.masked_fill(~allowed, -torch.inf)

    @property
    def _share(self) -> int:
        """Tokens that each text of a row may have, its separator or end included."""
        return self.writer.max_length // self.writer.n_columns


def own_writer(pool: Pool, max_length: int) -> Writer:
    """A writer with a vocabulary of its own: byte-level BPE trained on the pool's texts alone."""
    from transformers import PreTrainedTokenizerFast

    bpe = train_bpe(pool, VOCABULARY, [PAD, EOS, SEP], add_prefix_space=True)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=PAD, eos_token=EOS)
    separator = tokenizer.convert_tokens_to_ids(SEP)
    return Writer(tokenizer, separator, len(pool.text_columns), max_length)


def t5_writer(tokenizer: Any, n_columns: int, max_length: int) -> Writer:
    """A writer with T5's tokenizer, whose first sentinel separates the texts of a pair."""
    separator = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    return Writer(tokenizer, separator, n_columns, max_length)


def _lengths(lengths: Sequence[int], room: int) -> list[int]:
    """Shorten the longest until all fit into `room` together."""
    kept = list(lengths)
    while (excess := sum(kept) - room) > 0:
        longest = max(range(len(kept)), key=lambda i: kept[i])
        others = max([n for i, n in enumerate(kept) if i != longest], default=0)
        kept[longest] -= min(excess, max(1, kept[longest] - others))
    return kept
