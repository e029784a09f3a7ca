"""What `leaderboards/findings.md` says stands on the pages: each mean ± deviation, and its star."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "leaderboards"
SCORE = re.compile(r"\d+\.\d±\d+\.\d\*?")
SECTIONS = re.split(r"^## ", (ROOT / "findings.md").read_text(), flags=re.MULTILINE)[1:]


def plain(line: str) -> str:
    return line.replace("**", "").replace("\\*", "*")


def method_of(line: str) -> str:
    """The method that a line of a table begins with, "" for other lines."""
    cells = line.split("|")
    found = re.match(r" *`?([a-z][a-z0-9-]+)", cells[1]) if line.startswith("|") else None
    return found[1] if found else ""


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0][:30])
def test_scores_are_those_of_the_pages_that_a_section_names(section) -> None:
    pages = re.findall(r"\(published/([a-z0-9-]+\.md)\)", section)
    assert pages
    lines = [plain(line) for name in pages for line in (ROOT / "published" / name).open()]
    for line in map(plain, section.splitlines()):
        method = method_of(line)
        mine = [there for there in lines if method and method_of(there) == method]
        known = set(SCORE.findall("".join(mine or lines)))
        missing = set(SCORE.findall(line)) - known
        assert not missing, f"{method or line[:40]}: {missing} are on no page of {pages}"
