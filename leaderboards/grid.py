"""Tables of characters, by tabulate, laid out the same whatever else is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import tabulate


def grid(rows: Sequence[Sequence[str]], header: Sequence[str], form: str, left: int) -> str:
    """Return a table in one of tabulate's forms, its first `left` columns aligned to the left."""
    sides = ["left"] * left + ["right"] * (len(header) - left)
    with _narrow():
        return tabulate.tabulate(
            rows, header, tablefmt=form, disable_numparse=True, colalign=sides if rows else None
        )


@contextlib.contextmanager
def _narrow() -> Iterator[None]:
    """Count every character as one column: tabulate asks wcwidth only where that is installed."""
    before = tabulate.WIDE_CHARS_MODE
    tabulate.WIDE_CHARS_MODE = False
    try:
        yield
    finally:
        tabulate.WIDE_CHARS_MODE = before
