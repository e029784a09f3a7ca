"""Token ids of many texts as ragged arrays: no padding is stored, ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

CHUNK = 1000


@dataclass(frozen=True)
class Ragged:
    """Token sequences laid end to end; sequence i is `ids[offsets[i]:offsets[i + 1]]`.

    `types` are segment ids (None where the tokenizer makes none).
    """

    ids: np.ndarray
    types: np.ndarray | None
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each sequence."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Ragged:
        """Return the sequences at `rows`, in that order."""
        lengths = self.lengths[rows]
        offsets = _offsets(lengths)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        at = within + np.repeat(self.offsets[:-1][rows], lengths)
        types = None if self.types is None else self.types[at]
        return Ragged(self.ids[at], types, offsets)


@dataclass(frozen=True)
class Padding:
    """How a tokenizer pads: the ids it uses and the side it puts them on."""

    id: int
    type_id: int
    left: bool

    @classmethod
    def of(cls, tokenizer: Any) -> Padding:
        """Read the padding rule of a Hugging Face tokenizer."""
        pad_id = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        return cls(pad_id, tokenizer.pad_token_type_id, tokenizer.padding_side == "left")

    def apply(self, ragged: Ragged) -> dict[str, np.ndarray]:
        """Return `input_ids`, `attention_mask` and, where there are any, `token_type_ids`."""
        lengths, width = ragged.lengths, int(ragged.lengths.max())
        columns = np.arange(width)
        mask = columns >= (width - lengths)[:, None] if self.left else columns < lengths[:, None]
        padded = {"input_ids": np.full(mask.shape, self.id, dtype=np.int64)}
        padded["input_ids"][mask] = ragged.ids
        padded["attention_mask"] = mask.astype(np.int64)
        if ragged.types is not None:
            padded["token_type_ids"] = np.full(mask.shape, self.type_id, dtype=np.int64)
            padded["token_type_ids"][mask] = ragged.types
        return padded


def tokenise(tokenizer: Any, columns: Mapping[str, Sequence[str]], max_length: int) -> Ragged:
    """Tokenise one or two text columns with special tokens; pairs are encoded as pairs.

    Where a tokenizer puts nothing between the texts of a pair, as those of causal language models
    do, they are joined by a line break. A text of no token at all, as a blank one is to these, is
    one end token: a model reads something of every row. Too long inputs lose tokens at the end of
    their longer text (`longest_first`).
    """
    texts = list(columns.values())
    if len(texts) == 2 and not _parts_pairs(tokenizer):
        texts = [[f"{first}\n{second}" for first, second in zip(*texts, strict=True)]]
    max_length = min(max_length, tokenizer.model_max_length)
    ids, types = [], []
    for start in range(0, len(texts[0]), CHUNK):
        encoded = tokenizer(
            *(list(column[start : start + CHUNK]) for column in texts),
            truncation=True,
            max_length=max_length,
            padding=False,
            return_attention_mask=False,
        )
        ids.extend(row or [_end(tokenizer)] for row in encoded["input_ids"])
        types.extend(row or [0] for row in encoded.get("token_type_ids", ()))
    offsets = _offsets(np.fromiter(map(len, ids), dtype=np.int64, count=len(ids)))
    total = int(offsets[-1])
    flat = np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=total)
    if not types:
        return Ragged(flat, None, offsets)
    return Ragged(
        flat, np.fromiter(chain.from_iterable(types), dtype=np.int8, count=total), offsets
    )


def _end(tokenizer: Any) -> int:
    ends = (tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id, 0)
    return next(end for end in ends if end is not None)


def _parts_pairs(tokenizer: Any) -> bool:
    """Whether a special token stands between the texts of a pair."""
    word = tokenizer("a", add_special_tokens=False)["input_ids"]
    both = tokenizer("a", "a")["input_ids"]
    together = [*word, *word]
    width = len(together)
    return all(both[i : i + width] != together for i in range(len(both) - width + 1))


def _offsets(lengths: np.ndarray) -> np.ndarray:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
