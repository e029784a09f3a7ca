"""How much memory an unrolled training will need, said before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.core.errors import BenchmarkError

COPIES = 8
"""Sets of weights that are alive besides those of the steps: pretrained, live, gradients, sums."""
BACK_AND_FORTH = 2.0
"""Times the activations of a forward pass that a step's graph keeps. From 5 to 15 steps a BERT of
four layers grew by 153 MB a step; this says 155 (`tests/performance/test_unroll_speed.py`)."""

ADVICE = "Take a smaller budget, a shorter `length`, or `unroll=replay`"


def bytes_needed(
    weights: int,
    steps: Sequence[int],
    length: int,
    width: int,
    layers: int,
    heads: int,
    *,
    replay: bool,
    attention: bool,
) -> float:
    """Estimate the peak of an outer step, in bytes.

    Parameters
    ----------
    weights : trained weights of the learner.
    steps : rows of each inner step.
    attention : whether attention is kept for labels.

    A token of a layer leaves about 34 x `width` bytes in half precision (Korthikanti et al., MLSys
    2023), 68 in float32, and each pair of tokens 5 numbers a head; with every step's graph kept, a
    step adds its activations and three sets of weights (the step's, its gradient's, the product's).
    """
    pairs = (8 if attention else 5) * heads * length * 4
    activations = [BACK_AND_FORTH * rows * length * layers * (68 * width + pairs) for rows in steps]
    if replay:
        return COPIES * weights * 4 + max(activations)
    return (COPIES + 3 * len(steps)) * weights * 4 + sum(activations)


def check_memory(needed: float, free: float, words: str) -> None:
    """Raise `BenchmarkError` that names both numbers if there is not enough."""
    if needed > free:
        raise BenchmarkError(
            f"{words} would need about {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free. "
            f"{ADVICE}"
        )
