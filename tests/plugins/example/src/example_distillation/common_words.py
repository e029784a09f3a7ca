"""The method `common-words`: rows whose words many other rows of their class have too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from methods import Pool, Selector, register


@register("common-words")
class CommonWords(Selector):
    """Pick the rows of each class whose words are most common in a random part of the class.

    A word counts once a row. A row's score is the mean, over its words, of the share of rows that
    have the word. An example of an adapter, of no published method.

    Parameters
    ----------
    share : part of the class that is drawn for each set, in (0, 1].
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; it must lie in (0, 1]")

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        """Return `size` distinct positions in `pool`, which holds the rows of one class."""
        drawn = rng.permutation(len(pool))[: max(size, round(self.share * len(pool)))]
        columns = pool.texts(drawn).values()
        rows = [set(" ".join(texts).lower().split()) for texts in zip(*columns, strict=True)]
        having = Counter(word for row in rows for word in row)
        scores = [sum(having[word] for word in row) / len(row) for row in rows]
        return drawn[np.argsort(-np.array(scores), kind="stable")[:size]].tolist()
