"""How much of a text comes back from its embedding, and how near what comes back is to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from benchmark.core.journal import Journal
from methods.inversion.correction import Hypothesis, Inversion, Texts, cosine

STEPS = (0, 1, 5, 20)
"""Corrections after which the held-out rows are looked at."""


class Rows(Protocol):
    """Rows whose texts are known."""

    texts: list[Texts]
    features: np.ndarray


def note_fidelity(
    inversion: Inversion, rows: Rows, journal: Journal, most: int | None = None
) -> None:
    """Invert held-out rows and note four figures of it.

    They are BLEU (sacrebleu's of the corpus, as a fraction), token F1 (mean over rows), exact match
    (share of rows) and cosine (mean, between the embedding and that of the text that was written).
    Each is a curve over the number of corrections, at those of `STEPS` (no more than `most`), and a
    finding: before any correction, after the last, and the change. `inversion_cosine_of_other_rows`
    stands beside: the mean cosine of two different held-out rows, what a text at random would
    reach.
    """
    last = max(STEPS) if most is None else most
    noted: list[dict[str, float]] = []
    for step, found in enumerate(inversion.steps(rows.features, last)):
        if step in STEPS:
            noted.append(figures(rows.texts, found))
            for name, value in noted[-1].items():
                journal.log(f"inversion_{name}", step, value)
    for name, before in noted[0].items():
        after = noted[-1][name]
        journal.find(f"inversion_{name}_before", before)
        if last == 0:
            continue  # there is no corrector
        journal.find(f"inversion_{name}_after", after)
        journal.find(f"inversion_{name}_change", after - before)
    others = np.roll(rows.features, 1, axis=0)
    apart = [cosine(a, b) for a, b in zip(rows.features, others, strict=True)]
    journal.find("inversion_cosine_of_other_rows", float(np.mean(apart)))


def figures(truth: Sequence[Texts], found: Sequence[Hypothesis]) -> dict[str, float]:
    """BLEU, token F1, exact match and cosine of inverted rows; texts of a pair are joined."""
    from sacrebleu import corpus_bleu

    written = [" ".join(h.texts) for h in found]
    wanted = [" ".join(texts) for texts in truth]
    return {
        "bleu": corpus_bleu(written, [wanted]).score / 100,
        "token_f1": float(np.mean([token_f1(a, b) for a, b in zip(written, wanted, strict=True)])),
        "exact": float(np.mean([a == b for a, b in zip(written, wanted, strict=True)])),
        "cosine": float(np.mean([h.cosine for h in found])),
    }


def token_f1(written: str, wanted: str) -> float:
    """Harmonic mean of precision and recall of words, each counted as often as it stands."""
    a, b = Counter(written.split()), Counter(wanted.split())
    shared = sum((a & b).values())
    return 2 * shared / (sum(a.values()) + sum(b.values())) if shared else 0.0
