"""One run's prompt, and the scores of all test rows after it, in batches of like length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evaluators.prompting.labels import LabelTree
from evaluators.prompting.language_model import LanguageModel, Prefix
from evaluators.prompting.pieces import Tokens

TOKENS_AT_ONCE = 2048  # of rows and padding, in one batch
POSITIONS_AT_ONCE = 65536  # with the prefix before each row: bounds the memory of one layer


@dataclass(frozen=True)
class Prompt:
    """Examples in their order; the first n of them are the first `ends[n - 1]` tokens."""

    tokens: Tokens
    ends: np.ndarray

    @classmethod
    def of(cls, lead: Tokens, pieces: list[Tokens]) -> Prompt:
        """Lay the pieces end to end behind the start tokens."""
        ends = len(lead) + np.cumsum([len(piece) for piece in pieces])
        return cls(np.concatenate([lead, *pieces]), ends)

    def room(self, lengths: np.ndarray, context: int) -> np.ndarray:
        """Return the tokens of the whole examples that fit before rows of these lengths.

        Examples are left out from the end: what is kept is then one prefix for all rows. Their
        order is random, so it is as fair as leaving them out from the start.
        """
        fit = np.searchsorted(self.ends, context - lengths, side="right")
        if (fit == 0).any():
            raise ValueError(f"no example fits into a context of {context} tokens")
        return self.ends[fit - 1]


def read_prompt(
    model: LanguageModel, prompt: Prompt, rows: list[Tokens], context: int
) -> tuple[Prefix, np.ndarray]:
    """Read as much of the prompt as any row has room for; return that room of each row."""
    room = prompt.room(np.array([len(row) for row in rows]), context)
    return model.read(prompt.tokens[: room.max()]), room


def score_rows(
    model: LanguageModel, prefix: Prefix, room: np.ndarray, rows: list[Tokens], tree: LabelTree
) -> np.ndarray:
    """Return log-probabilities of the labels of every row, shape (n, C)."""
    scores = np.empty((len(rows), tree.n_classes))
    for batch in batches(room, np.array([len(row) for row in rows]) + len(tree.tokens)):
        length = int(room[batch[0]])
        scores[batch] = model.score(prefix, length, [rows[i] for i in batch], tree)
    return scores


def batches(room: np.ndarray, widths: np.ndarray) -> Iterator[np.ndarray]:
    """Yield rows with the same prefix and similar widths, as many as the limits allow."""
    order = np.lexsort((widths, room))
    start = 0
    for i in range(1, len(order) + 1):
        if i == len(order) or _full(order[start : i + 1], room, widths):
            yield order[start:i]
            start = i


def _full(rows: np.ndarray, room: np.ndarray, widths: np.ndarray) -> bool:
    """Whether the last of the rows, which is the widest, belongs to the next batch."""
    last = rows[-1]
    return bool(
        room[last] != room[rows[0]]
        or len(rows) * widths[last] > TOKENS_AT_ONCE
        or len(rows) * (widths[last] + room[last]) > POSITIONS_AT_ONCE
    )
