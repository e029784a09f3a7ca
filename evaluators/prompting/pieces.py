"""Rows as pieces of a prompt: text by one template, tokenised apart, cut where too long.

Pieces are tokenised apart, and the prompt is their concatenation, so that an example has the same
tokens in every order. Each piece but the first begins with the blank line that parts it from the
one before: tokenizers split there anyway, so the tokens are those of the whole prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SEPARATOR = "\n\n"
LABEL = "label:"
ANCHOR = "a"  # stands before a continuation, so that a tokenizer puts no start of text there
CHUNK = 1000

Tokens = np.ndarray  # int64, shape (n,)


@dataclass(frozen=True)
class Template:
    """How rows with these text columns are written, each in at most `limit` tokens.

    `lead` is what the tokenizer puts before a text (a start token, or nothing).
    """

    tokenizer: Any
    columns: tuple[str, ...]
    limit: int
    lead: Tokens

    @classmethod
    def of(cls, tokenizer: Any, columns: Sequence[str], context: int) -> Template:
        """Make the template of a prompt of `context` tokens: a row has at most half of them."""
        lead = start_tokens(tokenizer)
        return cls(tokenizer, tuple(columns), (context - len(lead)) // 2, lead)

    def pieces(
        self,
        texts: Sequence[Sequence[str]],
        labels: Sequence[str] | None = None,
        *,
        first: bool = False,
    ) -> list[Tokens]:
        """Return the tokens of rows, given as columns of texts; without labels, up to "label:".

        `first` pieces open a prompt: they have no separator before them.
        """
        before = "" if first else ANCHOR + SEPARATOR
        ends = [LABEL] * len(texts[0]) if labels is None else [f"{LABEL} {x}" for x in labels]
        pieces = []
        for start in range(0, len(ends), CHUNK):
            part = slice(start, start + CHUNK)
            rows = zip(*(column[part] for column in texts), strict=True)
            written = [
                _write(before, self.columns, row, end)
                for row, end in zip(rows, ends[part], strict=True)
            ]
            encoded = self.tokenizer(
                [text for text, _ in written],
                add_special_tokens=False,
                return_attention_mask=False,
                return_offsets_mapping=True,
                verbose=False,
            )
            for ids, offsets, (_, spans) in zip(
                encoded["input_ids"], encoded["offset_mapping"], written, strict=True
            ):
                skip = 0 if first else _anchor_tokens(offsets)
                tokens, places = np.array(ids[skip:]), np.array(offsets[skip:])
                pieces.append(_cut(tokens, places, spans, self.limit))
        return pieces


def start_tokens(tokenizer: Any) -> Tokens:
    """Return the special tokens that a tokenizer puts before a text."""
    plain = tokenizer(ANCHOR, add_special_tokens=False)["input_ids"]
    whole = tokenizer(ANCHOR)["input_ids"]
    return np.array(whole[: whole.index(plain[0])], dtype=np.int64)


def continuation(tokenizer: Any, before: str, text: str) -> list[int]:
    """Return the tokens of `text` where it follows `before`."""
    encoded = tokenizer(before + text, add_special_tokens=False, return_offsets_mapping=True)
    return [
        token
        for token, (_, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        if end > len(before)
    ]


def _write(
    before: str, columns: Sequence[str], row: Sequence[str], end: str
) -> tuple[str, list[tuple[int, int]]]:
    """Return a row's text, and where in it the task's texts stand."""
    text, spans = before, []
    for name, value in zip(columns, row, strict=True):
        text += f"{name}: "
        spans.append(len(text))
        text += " ".join(value.split()) + "\n"
        spans.append(len(text) - 1)
    return text + end, list(zip(spans[::2], spans[1::2], strict=True))


def _anchor_tokens(offsets: Sequence[tuple[int, int]]) -> int:
    return next(i for i, (_, end) in enumerate(offsets) if end > len(ANCHOR))


def _cut(
    tokens: Tokens, places: np.ndarray, spans: Sequence[tuple[int, int]], limit: int
) -> Tokens:
    """Drop tokens from the ends of the texts, the longest text first, until `limit` are left."""
    excess = len(tokens) - limit
    if excess <= 0:
        return tokens
    inside = [
        np.flatnonzero((places[:, 0] >= start) & (places[:, 1] <= end)) for start, end in spans
    ]
    kept = _levelled([len(at) for at in inside], excess)
    return np.delete(tokens, np.concatenate([at[n:] for at, n in zip(inside, kept, strict=True)]))


def _levelled(lengths: list[int], excess: int) -> list[int]:
    """Shorten the longest first until `excess` is gone."""
    if sum(lengths) < excess:
        raise ValueError("the context is too short for a row's column names and label")
    kept = list(lengths)
    for _ in range(excess):
        kept[kept.index(max(kept))] -= 1
    return kept
