"""What is odd about sets made elsewhere, that a score on them alone would not show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from benchmark.core.distilled import DistilledSet

NAMED = 3
"""Files and classes that are named; of more it is said how many."""


def oddities(sets: Sequence[tuple[str, DistilledSet]]) -> Iterator[str]:
    """Say of (file name, set) pairs which are copies, which lack classes or keep to no budget.

    None of it is an error: a method may be judged with one set, or with sets that no budget fits.
    """
    first_of: dict[str, str] = {}
    copies = []
    for file, distilled in sets:
        if (first := first_of.setdefault(distilled.content_hash, file)) != file:
            copies.append(f"{file} is a copy of {first}")
    if copies:
        yield (
            f"{_some(copies)}. A copy is no further set: spread and interval are too small, the "
            "more so the more copies there are"
        )
    sizes = {len(distilled) for _, distilled in sets}
    if len(sizes) > 1:
        yield f"sets have {min(sizes)} to {max(sizes)} rows; sets of one budget have equally many"
    lacking, uneven = [], []
    for file, distilled in sets:
        if distilled.is_soft:
            continue  # a row stands for several classes
        found = Counter(np.asarray(distilled.labels).tolist())
        absent = [name for place, name in enumerate(distilled.classes) if place not in found]
        if absent:
            lacking.append(f"{file} has no row of {_some(list(map(repr, absent)))}")
        elif len(set(found.values())) > 1:
            uneven.append(f"{file} has {min(found.values())} to {max(found.values())}")
    if lacking:
        yield f"{_some(lacking)}: learners cannot predict a class that they never see"
    if uneven:
        yield f"rows a class differ: {_some(uneven)}; a DPC is the same for all classes"


def _some(parts: Sequence[str]) -> str:
    rest = f" and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
    return ", ".join(parts[:NAMED]) + rest
