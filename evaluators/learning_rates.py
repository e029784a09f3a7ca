"""A learning rate for a distilled set, picked by cross-validation within that set alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import Learner, Outcome, Run, TestTexts
from benchmark.core.seeding import numpy_generator, seed_of

FOLDS = 4


def with_picked_rates(
    learner: Learner, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
) -> Iterator[Outcome]:
    """Train each run at the rate of `learner.rates` that is best for its set; nothing of the test.

    Each outcome says in `extra` which it was. Runs of one set share it.
    """
    for _, group in groupby(runs, key=lambda run: run.distilled.content_hash):
        same = list(group)
        rate = pick_rate(learner, same[0].distilled, test, models)
        for outcome in _at(learner, rate).fit_predict(same, test, models):
            yield replace(outcome, extra={**outcome.extra, "learning_rate": rate})


def pick_rate(
    learner: Any, distilled: DistilledSet, test: TestTexts, models: Mapping[str, Path]
) -> float:
    """Return the one of `learner.rates` with the most right answers on rows that were held out.

    The rows of each class go round the folds in random order, drawn from the set's content. Of
    rates with equally many right answers the one with the lower cross-entropy is taken, then the
    earlier one; a training that fails counts as all wrong. Where no class has two rows nothing can
    be held out, and `learner.learning_rate` is returned.
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
    made = replace(learner, rates=(), learning_rate=rate)
    object.__setattr__(made, "name", learner.name)
    return made


def _folds(distilled: DistilledSet) -> np.ndarray:
    """Fold of each row; a row that is alone in its class is in none, and always trained on."""
    rng = numpy_generator(seed_of("rate-folds", set=distilled.content_hash))
    folds = np.full(len(distilled), -1)
    for label in np.unique(distilled.hard_labels):
        members = rng.permutation(np.flatnonzero(distilled.hard_labels == label))
        if len(members) > 1:
            folds[members] = np.arange(len(members)) % FOLDS
    return folds


def _rows(distilled: DistilledSet, chosen: np.ndarray) -> DistilledSet:
    rows = np.flatnonzero(chosen)
    columns = {name: [texts[i] for i in rows] for name, texts in (distilled.columns or {}).items()}
    return DistilledSet.of_texts(columns, distilled.labels[rows], distilled.classes)


def _mark(scores: np.ndarray | None, labels: np.ndarray) -> np.ndarray:
    """Right answers, and the log-probability of the labels."""
    if scores is None:
        return np.array([0.0, -1e9])
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    right = scores.argmax(axis=1) == labels
    return np.array([right.sum(), logs[np.arange(len(labels)), labels].sum()])
