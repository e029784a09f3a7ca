"""From texts to word ids and from word ids to vectors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmark.core.assets import load_word_vectors
from benchmark.core.finetune.tokens import Ragged

UNKNOWN = -1
WORD = re.compile(
    r"""
    \.\.\. | -- | (?:[a-z]\.){2,}          # marks and initials that have vectors: u.s.
  | n't\b | '(?:s|re|ve|ll|d|m)\b          # the second half of a contraction
  | \d+(?:[.,:]\d+)*                       # 3, 1,000, 2.5, 10:30
  | [^\W\d_]+?(?=n't\b)                    # the first half: do|n't
  | [^\W_]+(?:-[^\W_]+)*                   # words, and words joined by hyphens
  | [^\w\s]                                # any other mark by itself
    """,
    re.VERBOSE,
)


def split_words(text: str) -> list[str]:
    """Split a text as GloVe's corpora were: lower case, Penn Treebank's contractions and marks."""
    return WORD.findall(text.lower().replace("\u2019", "'"))


@dataclass(frozen=True)
class WordVectors:
    """Words with a vector: `vectors[number[word]]`, float32 of shape (words, dimension)."""

    number: Mapping[str, int]
    vectors: np.ndarray

    @classmethod
    def of(cls, words: Sequence[str], vectors: np.ndarray) -> WordVectors:
        """Number the words; of a word that is there twice the first counts."""
        return cls({word: i for i, word in reversed(list(enumerate(words)))}, vectors)

    def ids(self, text: str, limit: int) -> list[int]:
        """Numbers of the first `limit` words; `UNKNOWN` for a word without a vector.

        A hyphenated word without a vector of its own is read as its parts. A text without any word
        is one unknown word.
        """
        ids: list[int] = []
        for word in split_words(text):
            found = self.number.get(word, UNKNOWN)
            if found == UNKNOWN and "-" in word[1:]:
                ids += [self.number.get(part, UNKNOWN) for part in word.split("-")]
            else:
                ids.append(found)
            if len(ids) >= limit:
                return ids[:limit]
        return ids or [UNKNOWN]

    def read(self, columns: Mapping[str, Sequence[str]], limit: int) -> Texts:
        """Read texts of at most `limit` words; of a pair each part keeps half of them at least."""
        parts = [[self.ids(text, limit) for text in column] for column in columns.values()]
        rows = parts[0]
        if len(parts) == 2:
            rows = [_joined(first, second, limit) for first, second in zip(*parts, strict=True)]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        ids = np.fromiter((i for row in rows for i in row), dtype=np.int32, count=int(offsets[-1]))
        used, compact = np.unique(ids, return_inverse=True)
        table = np.zeros((len(used) + 1, self.vectors.shape[1]), dtype=np.float32)
        known = used >= 0
        table[:-1][known] = self.vectors[used[known]]
        return Texts(Ragged(compact.astype(np.int32), None, offsets), table)


def _joined(first: list[int], second: list[int], limit: int) -> list[int]:
    kept = min(len(first), max(limit - len(second), limit - limit // 2))
    return [*first[:kept], *second[: limit - kept]]


@dataclass(frozen=True)
class Texts:
    """Texts as ids into a table of their own words; its last row, all zeros, is for padding.

    A word that has no vector has a zero vector as well, but keeps its place in the text.
    """

    words: Ragged
    table: np.ndarray

    @classmethod
    def of_vectors(cls, vectors: np.ndarray) -> Texts:
        """Texts whose words are vectors of their own, shape (n, length, d)."""
        n, length, width = vectors.shape
        table = np.zeros((n * length + 1, width), dtype=np.float32)
        table[:-1] = vectors.reshape(-1, width)
        ids = np.arange(n * length, dtype=np.int32)
        return cls(Ragged(ids, None, length * np.arange(n + 1)), table)

    def __len__(self) -> int:
        return len(self.words)

    def padded(self, rows: np.ndarray, shortest: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ids (rows, width), padded to the longest of them, and the lengths (rows,)."""
        taken = self.words.take(rows)
        lengths = taken.lengths
        mask = np.arange(max(shortest, int(lengths.max()))) < lengths[:, None]
        ids = np.full(mask.shape, len(self.table) - 1, dtype=np.int64)
        ids[mask] = taken.ids
        return ids, lengths


@lru_cache(maxsize=2)
def held(folder: Path) -> WordVectors:
    """Read word vectors once per process; those of the last two folders are kept."""
    return WordVectors.of(*load_word_vectors(folder))
