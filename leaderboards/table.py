"""What every format renders: tables of entries, and a page of tables between plain sentences.

All text here is plain: nothing is escaped and nothing is marked up. Each format escapes every
string it prints, whatever it comes from, so that no name can break a page.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderboards.figures import Figure


@dataclass(frozen=True)
class Entry:
    """One table cell: its text, whether it is in bold, its marks and the number it sorts by.

    `link` is a file beside the page that the text leads to: ours, never from the rows.
    """

    text: str
    bold: bool = False
    star: bool = False
    partial: bool = False
    value: float | None = None
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first `left` columns are text, the others figures.

    A header may hold one line break (task above DPC). The last `feet` rows stay at the bottom
    when a reader sorts the table.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    left: int = 1
    feet: int = 0


@dataclass(frozen=True)
class Section:
    """A heading, sentences, points of a list, figures and tables."""

    title: str
    sentences: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Page:
    """A whole page; the first section is the caption."""

    title: str
    sections: tuple[Section, ...] = field(default_factory=tuple)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures of the page."""
        return tuple(figure for section in self.sections for figure in section.figures)


def without_blanks(table: Table) -> Table:
    """Return a table without the columns of figures in which no row has a number."""
    kept = [
        place
        for place in range(len(table.header))
        if place < table.left or any(row[place].value is not None for row in table.rows)
    ]
    return replace(
        table,
        header=tuple(table.header[place] for place in kept),
        rows=tuple(tuple(row[place] for place in kept) for row in table.rows),
    )


def entries(*cells: str | Entry) -> tuple[Entry, ...]:
    """Return a table row of entries, plain texts among them."""
    return tuple(cell if isinstance(cell, Entry) else Entry(cell) for cell in cells)


def one_line(text: str, longest: int = 300) -> str:
    """Return a text without line breaks and unprintable characters, cut to a length."""
    words = " ".join(text.split())
    clean = "".join(character for character in words if character.isprintable())
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"
