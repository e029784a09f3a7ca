"""TDD turned into words: each learned embedding becomes the nearest word of the learner."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.method import Budget, register
from benchmark.core.pool import Pool
from methods.tdd import CPU, FROM_WORDS, TDD

COSINE = {"search": "cosine"}
WORDS = {"start": "words"}


@register("tdd-text", paper="maekawa2024dilm")
@register("tdd-text-cosine", paper="maekawa2024dilm", **COSINE)
@register("tdd-text-words", paper="maekawa2024dilm", **WORDS)
@register("tdd-text-words-cosine", paper="maekawa2024dilm", **WORDS, **COSINE)
@register("tdd-text-cpu", paper="maekawa2024dilm", **CPU)
@register("tdd-text-cosine-cpu", paper="maekawa2024dilm", **CPU, **COSINE)
@register("tdd-text-words-cpu", paper="maekawa2024dilm", **(CPU | FROM_WORDS))
@register("tdd-text-words-cosine-cpu", paper="maekawa2024dilm", **(CPU | FROM_WORDS), **COSINE)
class TDDText(TDD):
    """A set of `tdd` with every embedding replaced by the nearest word embedding.

    The baseline that the DiLM paper calls TDD with text, and whose collapse it reports. How near a
    word is depends on two choices that are easy to overlook. Embeddings start as N(0, 1): vectors
    of norm 28 (BERT-base) among word vectors of norm 1.4, so that the Euclidean distance is decided
    by the word's length alone, and words come out at random. `search="cosine"` compares directions;
    `start="words"` begins at real rows. Tables show the four ways side by side, so that what is
    lost by discreteness can be told from what is lost by an artefact.

    The embeddings are those of `tdd` with the same parameters, set by set, and are learned once for
    both. Labels are the classes; special tokens are never chosen. Of a pair the first half of the
    positions becomes the first text.

    Parameters
    ----------
    search : `l2` or `cosine`.

    The others are TDD's.

    References
    ----------
    Maekawa et al., "DiLM: Distilling Dataset into Language Model for Text-level Dataset
    Distillation", Findings of NAACL 2024.
    """

    level = "text"

    search: Literal["l2", "cosine"] = "l2"

    @property
    def embeds_for(self) -> str:
        """None: its sets are texts."""
        return ""

    def distil(
        self, pool: Pool, budget: Budget, rng: np.random.Generator, state: Path | None = None
    ) -> DistilledSet:
        """Optimise embeddings, or take those that `tdd` has made, and look their words up."""
        from methods.bilevel.result import Result
        from methods.bilevel.words import nearest_words

        with tempfile.TemporaryDirectory() as temporary:
            parts = pool.services.parts or Path(temporary)
            result = Result.load(self._made(pool, budget, rng, parts))
        order = np.argsort(result.classes, kind="stable")
        columns, moved = nearest_words(
            Path(pool.services.model(self.learner)),
            result.embeddings[order],
            pool.text_columns,
            self.search,
        )
        notes = {**result.notes, "distance_to_words": moved}
        return DistilledSet.of_texts(columns, result.classes[order], pool.classes, notes=notes)
