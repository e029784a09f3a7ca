"""Which row the others are tested against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmark.core.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from leaderboards.model import CellResult, RowKey

DEFAULT_REFERENCE = "k-centers"


def choose_reference(
    cells: Sequence[CellResult], labels: Mapping[RowKey, str], wanted: str | None
) -> RowKey | None:
    """Return the row that is the reference; of a method's variants the one with most cells."""
    counts = Counter(cell.row for cell in cells if cell.id.dpc != "0")
    names = {name for row in counts for name in (row[0], labels[row])}
    if wanted is not None and wanted not in names:
        raise InputError(
            f"reference {wanted!r} has no cells in this suite.{did_you_mean(wanted, list(names))}"
        )
    name = wanted or DEFAULT_REFERENCE
    rows = [row for row in counts if labels[row] == name] or [r for r in counts if r[0] == name]
    return min(rows, key=lambda row: (-counts[row], row), default=None)
