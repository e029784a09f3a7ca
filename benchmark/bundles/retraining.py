"""Training again from a bundle's sets: the one proof that predictions are those of the sets.

Only learners that are trained once per set (`deterministic`) are: that takes milliseconds, and any
machine comes to the same. Others take hours, and their bits depend on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import UnavailableError
from benchmark.core.learner import Learner, Run
from benchmark.core.library import Library

NEAR = 1e-4
"""How much less than the best class's score the score of a predicted class may be: machines differ
in the last bits of features and sums. Classes that are exactly equal are no such case."""

FEW = 0.002
"""Share of the test rows that may differ so."""


def why_not(learner: Learner, library: Library) -> str:
    """Say why a learner is not trained again here, "" if it is."""
    if not learner.deterministic:
        return "it is not deterministic"
    try:
        for encoder in learner.encoders:
            if library.catalogue.encoder(encoder).endpoint:
                return "its encoder is asked behind an endpoint"
            library.require_encoder(encoder)
        for model in learner.models:
            library.model_folder(model)
    except UnavailableError:
        return "its encoder or model is not here"
    return ""


def disagreements(
    learner: Learner,
    sets: Mapping[str, DistilledSet],
    predicted: Mapping[str, np.ndarray],
    library: Library,
    task: str,
) -> tuple[dict[str, str], int]:
    """Train on each set and compare with its predictions, by the set's hash.

    Returns what is wrong with which set, and how many predictions differ between classes that are
    as good as equal.
    """
    models = {name: library.model_folder(name) for name in learner.models}
    wrong, close = {}, 0
    keys = list(sets)
    runs = [Run(sets[key], 0) for key in keys]
    outcomes = learner.fit_predict(runs, library.test_texts(task), models)
    for key, outcome in zip(keys, outcomes, strict=True):
        if outcome.scores is None:
            wrong[key] = f"the learner cannot be trained on it: {outcome.error}"
            continue
        different, near = _compare(outcome.scores, predicted[key])
        if different:
            wrong[key] = (
                f"{different:,} of {len(predicted[key]):,} predictions are not those that training "
                "on it gives"
            )
        close += near
    return wrong, close


def _compare(scores: np.ndarray, predicted: np.ndarray) -> tuple[int, int]:
    """Count predictions that are not the best class: clearly, and only just."""
    rows = np.flatnonzero(scores.argmax(axis=1) != predicted)
    best, said = scores[rows].max(axis=1), scores[rows, predicted[rows].astype(np.int64)]
    near = (best > said) & (best - said <= NEAR)
    if near.sum() > max(1, FEW * len(predicted)):
        return len(rows), 0
    return int((~near).sum()), int(near.sum())
