"""An adapter's docstring as the parts of a page: idea, equation, deviations and so on."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

DEVIATION = re.compile(r"(Different from|Where the paper is silent|Deviat)")
HEADING = re.compile(r"^(\w+)\n-{3,}\n", re.M)


@dataclass(frozen=True)
class Docstring:
    """Parts of a docstring; paragraphs are single lines of markdown.

    `parameters` maps each name to its text. A line `a, b : text` stands for both.
    """

    summary: str
    idea: tuple[str, ...]
    deviations: tuple[str, ...]
    parameters: dict[str, str]
    references: tuple[str, ...]
    equation: str = ""

    @classmethod
    def of(cls, adapter: type) -> Docstring:
        """Read the docstring of a class; what has no such part is empty."""
        text = inspect.cleandoc(adapter.__doc__ or "")
        prose, *rest = HEADING.split(text)
        sections = dict(zip(rest[::2], rest[1::2], strict=True))
        paragraphs = [_one_line(part) for part in prose.split("\n\n") if part.strip()]
        summary, *others = paragraphs or [""]
        return cls(
            summary,
            tuple(part for part in others if not DEVIATION.match(part)),
            tuple(part for part in others if DEVIATION.match(part)),
            _parameters(sections.get("Parameters", "")),
            _references(sections.get("References", "")),
            sections.get("Equation", "").strip(),
        )


def _parameters(section: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", section.strip()):
        names, colon, text = entry.partition(" : ")
        if colon:
            found |= {name.strip(): _one_line(text) for name in names.split(",")}
    return found


def _references(section: str) -> tuple[str, ...]:
    """A reference ends where a line ends with a full stop after a year."""
    lines, found = section.strip().splitlines(), [""]
    for line in lines:
        found[-1] = f"{found[-1]} {line.strip()}".strip()
        if re.search(r"\d{4}\.$", line):
            found.append("")
    return tuple(reference for reference in found if reference)


def _one_line(text: str) -> str:
    return " ".join(text.split())
