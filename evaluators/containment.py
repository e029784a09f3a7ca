"""Rows of one split found inside other texts, whatever was put round them or done to their letters.

A row counts as found if a text says the same, or has all its words in their order somewhere in it.
Letters are folded first: case, accents, width, invisible characters, and letters of other alphabets
that look like Latin ones. A row with a word changed inside it is not found, nor one that is cut in
two: this finds copies, not paraphrases.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from evaluators.audits import Columns

LEAST = 6
"""Words that a row must have to be looked for inside longer texts: shorter ones occur by chance."""

_CYRILLIC, _LIKE_THEM = "авеѕіјкӏмнорстухһԁԛԝѵ", "abesijklmhopctyxhdqwv"
LOOKALIKES = {
    ord(other): latin
    for others, latins in (
        (_CYRILLIC, _LIKE_THEM),
        (_CYRILLIC.upper(), _LIKE_THEM),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abezhikmnoptyx"),  # Greek, whose small letters look like others
        ("αβγεηικνορτυχω", "abyenikvoptuxw"),
        ("ıɑɡłøđ", "iaglod"),  # Latin, but without a decomposition
    )
    for other, latin in zip(others, latins, strict=True)
}

_WORD = re.compile(r"[^\W_]+")
_INVISIBLE = {"Mn", "Me", "Cf", "Cc"}


def folded(text: str) -> str:
    """Return the words of a text, one space apart, without case, marks, accents and look-alikes.

    A text without a word is one word, its marks.
    """
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in parts if c.isspace() or unicodedata.category(c) not in _INVISIBLE)
        text = text.translate(LOOKALIKES).casefold()
    return " ".join(_WORD.findall(text.lower())) or "".join(text.split())


class RowFinder:
    """Finds the rows of a split in other texts.

    A pair is found where both its texts stand in one row, in either order of the columns.
    """

    def __init__(self, columns: Columns) -> None:
        self._same: dict[tuple[str, ...], list[int]] = {}
        self._longer: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for place, row in enumerate(_rows(columns)):
            self._same.setdefault(tuple(sorted(row)), []).append(place)
            words = max(row, key=len).split()
            if len(words) >= LEAST:
                self._longer.setdefault(" ".join(words[:LEAST]), []).append((row, place))

    def found(self, columns: Columns) -> set[int]:
        """Return the places of the rows that these texts hold."""
        return {place for row in _rows(columns) for place in self._found_in(row)}

    def _found_in(self, texts: tuple[str, ...]) -> Iterator[int]:
        yield from self._same.get(tuple(sorted(texts)), ())
        for text in texts:
            words = text.split()
            for start in range(len(words) - LEAST + 1):
                for row, place in self._longer.get(" ".join(words[start : start + LEAST]), ()):
                    if all(any(f" {part} " in f" {text} " for text in texts) for part in row):
                        yield place


def _rows(columns: Columns) -> Iterator[tuple[str, ...]]:
    return zip(*(map(folded, texts) for texts in columns.values()), strict=True)
