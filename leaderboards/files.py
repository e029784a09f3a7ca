"""A page in every form for a folder in which it is read: what a run leaves behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from leaderboards.drawing import SUFFIXES, draw, drawn_from
from leaderboards.figures import KINDS, Figure
from leaderboards.formats import to_csv
from leaderboards.markdown import page_text
from leaderboards.model import Leaderboard
from leaderboards.page import make_page
from leaderboards.webpage import to_html


def write_files(board: Leaderboard, folder: Path) -> list[Path]:
    """Write `<suite>.md`, `.csv`, `.html` and the figures; return their paths in that order.

    What is there and says the same is left alone, for drawing takes seconds. Figures that the page
    no longer has are removed. Each file is written whole or not at all.
    """
    page = make_page(board)
    texts = {".md": page_text(page, figures=True), ".csv": to_csv(board)}
    names = [f"{board.suite}{suffix}" for suffix in (*texts, ".html")]
    names += [f"{figure.name}{suffix}" for figure in page.figures for suffix in SUFFIXES]
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_up_to_date(folder, board.suite, texts, page.figures):
        for figure in page.figures:
            for suffix, body in draw(figure).items():
                _write(folder / f"{figure.name}{suffix}", body)
        texts[".html"] = to_html(board)
        for suffix, text in texts.items():
            _write(folder / f"{board.suite}{suffix}", text.encode())
    for stale in figure_files(folder, board.suite) - set(names):
        (folder / stale).unlink()
    return [folder / name for name in names]


def page_files(folder: Path, suite: str) -> list[Path]:
    """Return the files in a folder that `write_files` makes for a suite, in order."""
    names = [f"{suite}{suffix}" for suffix in (".md", ".csv", ".html")]
    names += sorted(figure_files(folder, suite))
    return [folder / name for name in names if (folder / name).is_file()]


def figure_files(folder: Path, suite: str) -> set[str]:
    """Return the names of the figures in a folder that are of a suite."""
    names = {f"{suite}-{kind}{suffix}" for kind in KINDS for suffix in SUFFIXES}
    return {name for name in names if (folder / name).exists()}


def _is_up_to_date(
    folder: Path, suite: str, texts: Mapping[str, str], figures: tuple[Figure, ...]
) -> bool:
    for suffix, text in texts.items():
        path = folder / f"{suite}{suffix}"
        if not path.is_file() or path.read_bytes() != text.encode():
            return False
    drawn = all(
        (path := folder / f"{figure.name}{suffix}").is_file()
        and drawn_from(path.read_bytes()) == figure.data_hash
        for figure in figures
        for suffix in SUFFIXES
    )
    return drawn and (folder / f"{suite}.html").is_file()


def _write(path: Path, body: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(body)
    os.replace(temporary, path)
