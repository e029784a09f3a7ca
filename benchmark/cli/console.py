"""Where tables are printed: as wide as the terminal, and wide enough for tables in a file."""

from __future__ import annotations

import sys

from rich.console import Console

FILE_WIDTH = 160


def output() -> Console:
    """A console on standard output."""
    return Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)
