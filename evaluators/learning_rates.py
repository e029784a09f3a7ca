"""A learning rate for a distilled set, picked by cross-validation within that set alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import Outcome, Run, TestTexts
from benchmark.core.seeding import numpy_generator, seed_of
from evaluators.near_copies import groups_of

FOLDS = 4
NOT_HELD_OUT = "embedding-level set, no rows of which can be held out to pick from rates"
"""Why a learner that picks rates refuses a set of embeddings, unless trained by its own recipe."""


def with_picked_rates(
    learner: Any, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
) -> Iterator[Outcome]:
    """Train each run at the rate of `learner.rates` that is best for its set; nothing of the test.

    Each outcome says in `extra` which it was; its seconds are those of this training, without the
    trials. Runs of one set share it. A rate that has no rival is taken without trials. A set of
    embeddings brings rates of its own, so that nothing is picked for it; one that the learner
    refuses fails alone.
    """
    for _, group in groupby(runs, key=lambda run: run.distilled.content_hash):
        same = list(group)
        distilled = same[0].distilled
        if (why := learner.refuses(distilled)) is not None:
            yield from (Outcome(None, error=why) for _ in same)
        elif distilled.level == "embedding":
            yield from _at(learner, learner.learning_rate).fit_predict(same, test, models)
        else:
            rate = learner.rates[0]
            if len(learner.rates) > 1:
                rate = pick_rate(learner, distilled, test, models)
            for outcome in _at(learner, rate).fit_predict(same, test, models):
                yield replace(outcome, extra={**outcome.extra, "learning_rate": rate})


def pick_rate(
    learner: Any, distilled: DistilledSet, test: TestTexts, models: Mapping[str, Path]
) -> float:
    """Return the one of `learner.rates` with the most right answers on rows that were held out.

    The rows of each class go round the folds in random order, drawn from the set's content. Rows in
    nearly the same words (`near_copies`) are held out together: were a row trained on while its
    edited copy is held out, as those of `eda`, the rate that learns by heart would win. Paraphrases
    in other words, and near copies under another label, may still stand in two folds.

    Of rates with equally many right answers the one with the lower cross-entropy is taken, then the
    earlier one; a training that fails counts as all wrong. Where no class has two rows that are no
    copies nothing can be held out, and `learner.learning_rate` is returned.
    """
    folds = _folds(distilled)
    if (folds < 0).all():
        return learner.learning_rate
    marks = {rate: np.zeros(2) for rate in learner.rates}
    for fold in sorted(set(folds[folds >= 0])):
        rest, held = _rows(distilled, folds != fold), _rows(distilled, folds == fold)
        given = TestTexts(
            held.columns or {}, test.classes, held.content_hash, test.features, test.embed_set
        )
        seed = seed_of("rate-training", set=distilled.content_hash, fold=int(fold))
        for rate, mark in marks.items():
            outcome = next(iter(_at(learner, rate).fit_predict([Run(rest, seed)], given, models)))
            mark += _mark(outcome.scores, held.hard_labels)
    return max(marks, key=lambda rate: tuple(marks[rate]))


def _at(learner: Any, rate: float) -> Any:
    """The learner at one rate; one that trains large sets otherwise no longer does."""
    changes: dict[str, Any] = {"rates": (), "learning_rate": rate}
    if hasattr(learner, "full_threshold"):
        changes["full_threshold"] = sys.maxsize
    made = replace(learner, **changes)
    object.__setattr__(made, "name", learner.name)
    return made


def _folds(distilled: DistilledSet) -> np.ndarray:
    """Fold of each row; rows without others in their class than copies are in none.

    Those are always trained on. Each group of copies goes to the fold that has the fewest rows of
    its class so far.
    """
    rng = numpy_generator(seed_of("rate-folds", set=distilled.content_hash))
    folds = np.full(len(distilled), -1)
    texts = [" ".join(row) for row in zip(*(distilled.columns or {}).values(), strict=True)]
    for label in np.unique(distilled.hard_labels):
        members = rng.permutation(np.flatnonzero(distilled.hard_labels == label))
        groups = groups_of([texts[i] for i in members])
        filled = np.zeros(FOLDS)
        if len(set(groups)) > 1:
            for group in dict.fromkeys(groups):
                fold, rows = filled.argmin(), members[groups == group]
                folds[rows] = fold
                filled[fold] += len(rows)
    return folds


def _rows(distilled: DistilledSet, chosen: np.ndarray) -> DistilledSet:
    rows = np.flatnonzero(chosen)
    columns = {name: [texts[i] for i in rows] for name, texts in (distilled.columns or {}).items()}
    return DistilledSet.of_texts(
        columns, distilled.labels[rows], distilled.classes, recipe=distilled.recipe
    )


def _mark(scores: np.ndarray | None, labels: np.ndarray) -> np.ndarray:
    """Right answers, and the log-probability of the labels."""
    if scores is None or not np.isfinite(scores).all():
        return np.array([0.0, -1e9])
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    right = scores.argmax(axis=1) == labels
    return np.array([right.sum(), logs[np.arange(len(labels)), labels].sum()])
