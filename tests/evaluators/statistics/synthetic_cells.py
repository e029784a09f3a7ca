"""Made-up scores of cells: a ragged one, and draws with a set effect and a seed effect."""

from __future__ import annotations

import math

import numpy as np

RAGGED = [np.array([0.5, 0.7]), np.array([]), np.array([0.9])]


def cell(mean: float, seed: int, sets: int = 20, seeds: int = 5, spread: float = 0.01):
    rng = np.random.default_rng(seed)
    return mean + spread * (rng.normal(size=(sets, 1)) + rng.normal(size=(sets, seeds)))


def simulate(rng, repetitions: int, rho: float, sets: int = 20, seeds: int = 5) -> np.ndarray:
    """Return scores[repetition, set, seed] with mean 0, variance 1 and intra-class correlation."""
    of_sets = rng.normal(scale=math.sqrt(rho), size=(repetitions, sets, 1))
    return of_sets + rng.normal(scale=math.sqrt(1 - rho), size=(repetitions, sets, seeds))
