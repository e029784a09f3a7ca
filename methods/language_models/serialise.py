"""Rows of a task as token sequences, and back.

A row is `<bos_c> TEXT <eos>`, a pair `<bos_c> FIRST <sep> SECOND <eos>`: DiLM, section 3.2. The
class tokens and `<sep>` have ids above the tokenizer's own, so that no text can contain them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CHUNK = 1000


@dataclass(frozen=True)
class Serialiser:
    """Turns text columns into token ids of one generator, and sampled ids into texts.

    Attributes
    ----------
    tokenizer : the generator's own, which has an end-of-text token.
    n_classes, n_columns : of the task.
    base : number of rows of the generator's embedding before the new tokens: class c has id
        base + c, the separator base + n_classes.
    max_length : longest sequence in tokens, class and end tokens included.
    """

    tokenizer: Any
    n_classes: int
    n_columns: int
    base: int
    max_length: int

    @property
    def eos(self) -> int:
        """Id of the end of a row."""
        return int(self.tokenizer.eos_token_id)

    @property
    def separator(self) -> int:
        """Id of the token between the texts of a pair."""
        return self.base + self.n_classes

    @property
    def size(self) -> int:
        """Rows of the embedding with the new tokens."""
        return self.base + self.n_classes + 1

    @property
    def forbidden(self) -> list[int]:
        """Ids that must not be sampled: class tokens, and the separator if there are no pairs."""
        stop = self.separator + (self.n_columns == 1)
        return list(range(self.base, stop))

    def start(self, label: int) -> int:
        """Id that stands for a class."""
        return self.base + label

    def encode(self, columns: Mapping[str, Sequence[str]], labels: np.ndarray) -> list[np.ndarray]:
        """Return one array of ids per row.

        A row longer than `max_length` loses tokens at the end of its longest text; all its texts
        stay in it.
        """
        texts = [self._ids(column) for column in columns.values()]
        room = self.max_length - 1 - len(texts)  # class token, separators and end
        rows = []
        for label, *parts in zip(labels, *texts, strict=True):
            while (excess := sum(map(len, parts)) - room) > 0:
                longest = max(range(len(parts)), key=lambda i: len(parts[i]))
                others = max([len(p) for i, p in enumerate(parts) if i != longest], default=0)
                cut = min(excess, max(1, len(parts[longest]) - others))
                parts[longest] = parts[longest][: len(parts[longest]) - cut]
            row = [self.start(int(label))]
            for place, part in enumerate(parts):
                row += [self.separator] * (place > 0) + list(part)
            rows.append(np.array([*row, self.eos], dtype=np.int64))
        return rows

    def decode(self, ids: Sequence[int]) -> tuple[str, ...] | None:
        """Return the texts of a sampled sequence (class token and end left out), or None.

        None means that it is malformed: too few texts, or a blank one. Texts beyond the second of
        a pair are dropped, as DiLM's released code does.
        """
        parts: list[list[int]] = [[]]
        for token in ids:
            if token == self.separator:
                parts.append([])
            else:
                parts[-1].append(int(token))
        texts = [
            self.tokenizer.decode(part, clean_up_tokenization_spaces=False).strip()
            for part in parts[: self.n_columns]
        ]
        return tuple(texts) if len(texts) == self.n_columns and all(texts) else None

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = []
        for start in range(0, len(texts), CHUNK):
            # A leading space: the first word is then the same token as within a text.
            part = [f" {text.strip()}" for text in texts[start : start + CHUNK]]
            ids += self.tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


def longest_row(serialiser: Serialiser, columns: Mapping[str, Sequence[str]]) -> int:
    """Tokens of the longest row, class and end tokens included, if nothing were cut."""
    lengths = [[len(ids) for ids in serialiser._ids(column)] for column in columns.values()]
    return int(np.sum(lengths, axis=0).max()) + 1 + len(lengths)
