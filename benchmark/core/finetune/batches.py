"""Which rows go into which batch, for training and for evaluation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def training_batches(
    n_rows: int, batch_size: int, steps: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield `steps` batches: shuffled each epoch, the last short batch of an epoch dropped."""
    done = 0
    while done < steps:
        order = rng.permutation(n_rows)
        for start in range(0, n_rows - batch_size + 1, batch_size):
            if done == steps:
                return
            yield order[start : start + batch_size]
            done += 1


def evaluation_batches(lengths: np.ndarray, token_budget: int) -> Iterator[np.ndarray]:
    """Yield rows sorted by length, as many at once as `token_budget` positions hold.

    Sorted batches are all but free of padding. The caller writes results back at the yielded
    rows, which undoes the order.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, int(token_budget // lengths[order[start]]))
        yield order[start : start + count]
        start += count
