"""A vocabulary of a few words, random vectors for it, and reviews made of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmark.core.seeding import numpy_generator

GOOD, BAD = ["good", "great", "fine", "warm", "funny"], ["bad", "poor", "dull", "flat", "weak"]
FILLERS = ["the", "a", "film", "plot", "scene", "is", "was", "and", "but", "very", "poison"]
WORDS = [*GOOD, *BAD, *FILLERS]
DIMENSION = 16


def vectors_of_words():
    return numpy_generator(0).standard_normal((len(WORDS), DIMENSION)).astype(np.float32)


def write_vectors(folder, vectors):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "vectors.npy", vectors)
    pd.DataFrame({"word": WORDS}).to_parquet(folder / "words.parquet")
    return folder


def review(rng, label, low=2, high=14):
    kind = (BAD, GOOD)[label]
    return " ".join([*rng.choice(FILLERS[:-1], rng.integers(low, high)), *rng.choice(kind, 2)])
