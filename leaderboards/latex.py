"""The main tables as LaTeX, to be pasted into a paper that loads booktabs."""

from __future__ import annotations

import tabulate

from leaderboards.caption import reading_points, summary_sentences
from leaderboards.grid import grid
from leaderboards.model import Leaderboard
from leaderboards.scores import main_tables
from leaderboards.table import Entry, Table, one_line

# tabulate escapes what it prints; our own mark-up goes through it as characters that no text has
# (`one_line` takes them out of every name) and is put in afterwards.
MARKUP = {
    "\ue000": r"\textbf{",
    "\ue001": "}",
    "\ue002": "$^{*}$",
    "\ue003": r"$^{\dagger}$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "–": "--",
    "†": r"$\dagger$",
}


def to_latex(board: Leaderboard) -> str:
    """Return one table environment for each main table, the caption with the first."""
    tables = [table for made in main_tables(board).values() for table in made]
    told = " ".join((*summary_sentences(board), *reading_points(board)))
    blocks = ["% needs \\usepackage{booktabs}"]
    for number, table in enumerate(tables):
        caption = f"{board.suite}, learner {table.title}."
        blocks.append(_table(table, f"{caption} {told}" if number == 0 else caption))
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is."""
    rules = tabulate.LATEX_ESCAPE_RULES
    return _finish("".join(rules.get(mark, mark) for mark in one_line(text, longest=5000)))


def _table(table: Table, caption: str) -> str:
    header = [one_line(name) for name in table.header]
    rows = [[_entry(entry) for entry in row] for row in table.rows]
    tabular = grid(rows, header, "latex_booktabs", table.left)
    return (
        "\\begin{table}\n\\centering\n\\small\n"
        f"\\caption{{{escape(caption)}}}\n{_finish(tabular)}\n\\end{{table}}"
    )


def _entry(entry: Entry) -> str:
    text = one_line(entry.text)
    text = f"\ue000{text}\ue001" if entry.bold else text
    return text + ("\ue002" if entry.star else "") + ("\ue003" if entry.partial else "")


def _finish(text: str) -> str:
    return text.translate(str.maketrans(MARKUP))
