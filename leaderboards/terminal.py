"""The main tables for a terminal: the same as on the page, with Rich's mark-up in the cells."""

from __future__ import annotations

import re

from leaderboards.averages import columns, summary_tables
from leaderboards.model import Leaderboard
from leaderboards.scores import is_wide, main_tables
from leaderboards.table import Entry, Table, one_line

Printable = tuple[str, list[str], list[list[str]]]


def terminal_tables(board: Leaderboard) -> list[Printable]:
    """Return (title, header, rows) of each table; of wide suites the averages over tasks.

    All strings are Rich mark-up: names are escaped, the best are in bold, and a header may hold a
    line break.
    """
    tables = summary_tables(board, columns(board)) if is_wide(board) else []
    if not tables:
        tables = [table for made in main_tables(board).values() for table in made]
    return [_printable(table) for table in tables]


def escape(text: str) -> str:
    """Return text that Rich prints as it is."""
    return re.sub(r"(\\*)(\[[a-z#/@][^[]*?])", r"\1\1\\\2", one_line(text))


def _printable(table: Table) -> Printable:
    header = ["\n".join(map(escape, name.split("\n"))) for name in table.header]
    return escape(table.title), header, [[_entry(entry) for entry in row] for row in table.rows]


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    text = f"[bold]{text}[/bold]" if entry.bold else text
    return text + ("*" if entry.star else "") + ("†" if entry.partial else "")
