"""The page as GitHub markdown."""

from __future__ import annotations

import re

from leaderboards.grid import grid
from leaderboards.model import Leaderboard
from leaderboards.page import make_page
from leaderboards.table import Entry, Page, Section, Table, one_line

SPECIAL = str.maketrans({"&": "&amp;", ">": "&gt;"} | {mark: f"\\{mark}" for mark in "\\`*|[]$~#"})

AUTOLINK = re.compile(r"\bwww(?=\.)|@(?=[\w-]+\.\w)", re.IGNORECASE)
"""Where GitHub sees an address. It looks for them once entities are resolved, so that only an
element in their midst keeps it from making a link; a comment is one that nobody sees."""


def to_markdown(board: Leaderboard) -> str:
    """Return the page without its figures; it ends with a line break."""
    return page_text(make_page(board))


def page_text(page: Page, *, figures: bool = False) -> str:
    """Return a page as text; with `figures`, it shows the SVG files that lie beside it."""
    blocks = [f"# {escape(page.title)}"]
    for section in page.sections:
        blocks += _section(section, figures)
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Return text that GitHub shows as it is, in a table or out of it, on one line."""
    text = one_line(text, longest=5000).translate(SPECIAL)
    text = re.sub(r"<(?=[^\d ]|$)", "&lt;", text)  # "<0.05" is no tag
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # snake_case needs no backslash
    text = text.replace("://", ":&#47;/")  # what others wrote makes no links
    return AUTOLINK.sub(r"\g<0><!-- -->", text)


def _section(section: Section, figures: bool) -> list[str]:
    if section.figures and not (figures or section.tables):
        return []
    blocks = [f"## {escape(section.title)}"] if section.title else []
    blocks += [escape(sentence) for sentence in section.sentences]
    if section.points:
        blocks.append("\n".join(f"- {escape(point)}" for point in section.points))
    if figures:
        blocks += [f"![{escape(one.alt)}]({one.name}.svg)" for one in section.figures]
    for table in section.tables:
        blocks += [f"### {escape(table.title)}"] if table.title else []
        blocks.append(_table(table))
    return blocks


def _table(table: Table) -> str:
    header = ["<br>".join(map(escape, name.split("\n"))) for name in table.header]
    rows = [[_entry(entry) for entry in row] for row in table.rows]
    return grid(rows, header, "pipe", table.left)


def _entry(entry: Entry) -> str:
    text = escape(entry.text)
    text = f"**{text}**" if entry.bold else text
    text = f"[{text}]({entry.link})" if entry.link else text
    return text + (r"\*" if entry.star else "") + ("†" if entry.partial else "")
