"""Toy pools: words of a class among common ones; features for any encoder, a model by any name."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from benchmark.core.services import Columns, Services
from benchmark.testing.toy_model import LINE_BREAK, toy_causal_lm, toy_model, toy_vectors

CLASS_ONSETS = "bcdfghjklmnpqrstvwxz"  # one per class: 20 at most
WORD_ENDINGS = ("ando", "elim", "isor", "ovat", "uxen", "ylar")
COMMON_WORDS = ("the", "of", "and", "was", "is", "very", "some", "with")
WRITES_LINES = "smollm2-135m"
CAUSAL = ("gpt2", WRITES_LINES, "phi-1.5")
PROMPT_WORDS = ("The", "It", "class")


def toy_pool(n_classes: int = 3, per_class: int = 12, *, pair: bool = False) -> Pool:
    """Return a small pool: words of its class among common ones, and features for any encoder.

    Rows are of two groups in turn. As in real data, each class has one text twice. Features are
    read-only sums of word vectors, scaled to unit length, so equal texts have equal features. Every
    model is the same tiny BERT, but those called glove-something, which are toy word vectors, and
    causal language models, which are one tiny GPT-2 that knows the names of the classes as well,
    and line breaks if it is called smollm2-135m.
    """
    rng = numpy_generator(seed_of("toy-pool", n_classes=n_classes, per_class=per_class, pair=pair))
    names = ("first", "second") if pair else ("text",)
    columns: dict[str, list[str]] = {name: [] for name in names}
    for onset in CLASS_ONSETS[:n_classes]:
        words = [onset + ending for ending in WORD_ENDINGS]
        for row in range(per_class):
            for texts in columns.values():
                drawn = [*rng.choice(words, 4), *rng.choice(COMMON_WORDS, 4)]
                again = row > 1 and row == per_class - 1
                texts.append(texts[-row] if again else " ".join(rng.permutation(drawn)))

    @functools.cache
    def embed(encoder: str) -> np.ndarray:
        return _features(encoder, columns)

    labels = np.repeat(np.arange(n_classes), per_class)
    classes = [f"class {onset}" for onset in CLASS_ONSETS[:n_classes]]
    services = Services(encode=_features, model=_model)
    name = "toy-pair" if pair else "toy"
    return Pool(
        name, columns, labels, classes, embed=embed, services=services,
        groups=np.arange(len(labels)) % 2, group_names=("even", "odd"),
    )  # fmt: skip


def _model(name: str) -> Path:
    if name in CAUSAL:
        ends = (LINE_BREAK,) if name == WRITES_LINES else ()
        return toy_causal_lm((*_all_words(), *PROMPT_WORDS, *CLASS_ONSETS, *ends))
    return (toy_vectors if name.startswith("glove") else toy_model)(_all_words())


def _all_words() -> tuple[str, ...]:
    return (*COMMON_WORDS, *(onset + ending for onset in CLASS_ONSETS for ending in WORD_ENDINGS))


def _features(encoder: str, columns: Columns) -> np.ndarray:
    rows = [" ".join(texts) for texts in zip(*columns.values(), strict=True)]
    features = np.array([sum(_word_vector(encoder, word) for word in row.split()) for row in rows])
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    features = features.astype(np.float32)
    features.setflags(write=False)
    return features


@functools.cache
def _word_vector(encoder: str, word: str) -> np.ndarray:
    return numpy_generator(seed_of("toy-word", encoder=encoder, word=word)).standard_normal(16)
