"""What a table calls its rows: the method, and of its parameters those that tell variants apart."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leaderboards.rows import parse, place

if TYPE_CHECKING:
    from leaderboards.model import CellResult, RowKey

LONGEST = 40
"""Characters of one parameter's value that a label shows."""


def row_labels(cells: Sequence[CellResult]) -> dict[RowKey, str]:
    """Return row -> label in table order: catalogue order of methods, then name and parameters.

    A method with one set of parameters is called by its name. Variants show the parameters in
    which they differ, `herding (encoder=bert-base)`. Sets made elsewhere are marked as submitted.
    """
    places: dict[RowKey, float] = {}
    submitted: set[RowKey] = set()
    variants: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        method, params = cell.row
        if cell.row not in places:
            variants[method].append(params)
        places[cell.row] = min(places.get(cell.row, np.inf), place(cell.info, "method_order"))
        if cell.info.get("submitted"):
            submitted.add(cell.row)
    shown = {
        (method, params): text
        for method, texts in variants.items()
        for params, text in zip(texts, differences(texts), strict=True)
    }
    return {
        row: row[0] + shown[row] + (" (submitted)" if row in submitted else "")
        for row in sorted(places, key=lambda row: (places[row], row))
    }


def differences(variants: Sequence[str]) -> list[str]:
    """Return for each variant ` (name=value, ...)`, with the names whose values are not shared."""
    parsed = [parse(text) for text in variants]
    names = sorted(set().union(*parsed))
    telling = [name for name in names if len({_say(p.get(name)) for p in parsed}) > 1]
    labels = []
    for params in parsed:
        parts = [f"{name}={_say(params[name])}" for name in telling if name in params]
        labels.append(f" ({', '.join(parts)})" if parts else "")
    return labels


def _say(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
