"""What is recorded of a set beside its size: copies, overlaps, variety, labels that fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmark.core.data import TaskData
from benchmark.core.distilled import DistilledSet
from benchmark.core.library import Library


def set_facts(distilled: DistilledSet, data: TaskData, library: Library) -> Mapping[str, float]:
    """Audit a set of texts; what is computed once per task is kept in the library's scratch."""
    if distilled.columns is None:
        return {}
    from evaluators.audits import TextIndex, distinct, tokens
    from evaluators.label_agreement import LabelTeachers

    scratch = library.test_texts(data.task.name).scratch
    if "audits" not in scratch:
        scratch["audits"] = TextIndex(data.pool.texts()), TextIndex(data.test.columns)
    train, test = scratch["audits"]
    whole = len(distilled) == len(data.pool)
    quality: dict[str, float] = {"tokens": tokens(distilled.columns)}
    if not whole:  # of all rows these say nothing of a method, and cost most
        if "teachers" not in scratch:
            scratch["teachers"] = LabelTeachers(data.pool.texts(), data.pool.labels)
        agreement = scratch["teachers"].agreement(distilled.columns, distilled.hard_labels)
        quality |= {f"distinct_{n}": distinct(distilled.columns, n) for n in (1, 2)}
        quality |= {} if np.isnan(agreement) else {"label_agreement": agreement}
    return {
        **quality,
        "copies": 1.0 if whole else train.copies(distilled.columns),
        "overlap_train": train.overlap(distilled.columns),
        "overlap_test": test.overlap(distilled.columns),
        "test_copies": test.copies(distilled.columns),
    }
