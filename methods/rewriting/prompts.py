"""What an instruction model is asked, and how its answers are read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Row = tuple[str, ...]
PART = "|||"
WORDS = 60
"""Words of an example that a prompt shows."""
OTHERS, OTHER_CLASSES = 2, 6
_NUMBERED = re.compile(r"^\s*\(?\d+\s*[.):-](?!\d)\s*(.+)$")
_AGAIN = re.compile(r"^\(?\d+[.)]\s+(.+)$")
_LISTED = re.compile(r"^\s*[-*•]\s+(.+)$")
QUOTES = "\"'“”‘’"
_ABOUT = re.compile(r"\b(?:class(?:es)?|classifiers?|examples?)\b", re.IGNORECASE)


def write_prompt(
    label: str,
    examples: Mapping[str, Sequence[Row]],
    names: Sequence[str],
    count: int,
    features: str = "",
) -> str:
    """Ask for `count` new rows of the class `label`.

    Parameters
    ----------
    examples : real rows by class; those of other classes are shown as contrast.
    names : the text columns; two make a row a pair.
    features : what an earlier answer said of the classes.
    """
    parts = [
        "You write training examples for a text classifier.",
        f"Its classes are: {', '.join(examples)}.",
        f'Examples of the class "{label}":\n{_listed(examples[label])}',
    ]
    others = [
        f"- ({other}) {_shown(row)}"
        for other, rows in list(examples.items())[: OTHER_CLASSES + 1]
        if other != label
        for row in rows[:OTHERS]
    ]
    parts.append("Examples of other classes, for contrast:\n" + "\n".join(others))
    if features:
        parts.append(f"What was noted about the classes:\n{features.strip()}")
    lengths = [len(text.split()) for row in examples[label] for text in row]
    pair = (
        f' Each example is a pair, {names[0]} and {names[1]}: write both on one line with "{PART}" '
        "between them."
        if len(names) == 2
        else ""
    )
    parts.append(
        f'Write {count} new examples of the class "{label}". Each must clearly belong to it, bring '
        "together what several of its examples have in common, and repeat none of them. Vary "
        "subject and wording. Use about as many words as the examples do "
        f"({round(sum(lengths) / len(lengths))} on average).{pair} Answer with a numbered list of "
        f"{count} lines and nothing else."
    )
    return "\n\n".join(parts)


def features_prompt(examples: Mapping[str, Sequence[Row]]) -> str:
    """Ask what marks each class, and what all of them share."""
    shown = [f'Class "{label}":\n{_listed(rows)}' for label, rows in examples.items()]
    return "\n\n".join(
        [
            "These are examples of the classes of a text classifier.",
            *shown,
            "Say in short lines which features of content and wording tell each class from the "
            "others, and which features occur in all classes alike. Do not copy the examples.",
        ]
    )


def read_answer(answer: str, columns: int, classes: Sequence[str] = ()) -> tuple[list[Row], int]:
    """Find the rows in an answer; returns them and how many lines were no row.

    Lines with a number count, or with a dash where none has a number, or else all lines. Quotation
    marks around a text are taken off, a second number, as small models write it ("3. 1. ..."), and
    the name of one of the `classes` in brackets before a row: prompts show other classes' rows so.
    """
    lines = [line for line in answer.splitlines() if line.strip()]
    found = [match[1] for line in lines if (match := _NUMBERED.match(line))]
    found = found or [match[1] for line in lines if (match := _LISTED.match(line))] or lines
    rows, odd = [], 0
    for line in found:
        texts = tuple(_bare(part, classes) for part in line.split(PART))
        if len(texts) == columns and all(texts):
            rows.append(texts)
        else:
            odd += 1
    return rows, odd


def _bare(text: str, classes: Sequence[str]) -> str:
    """A text without what stands round it, in whatever order a model has put that there."""
    before = ""
    while text != before:
        before, text = text, text.strip().strip(QUOTES).strip()
        if match := _AGAIN.match(text):
            text = match[1]
        for name in classes:
            text = re.sub(rf"^\({re.escape(name)}\)\s*(?=\S)", "", text, flags=re.IGNORECASE)
    return text


def is_of_the_task(row: Row, classes: Sequence[str]) -> bool:
    """Whether a row speaks of what was asked for, as small models do, and so is no example of it.

    It quotes the name of a class, names one beside a word such as "class" or "example", or ends
    with a colon ("Here are four examples:").
    """
    text = " ".join(row)
    if text.rstrip(QUOTES + "* ").endswith(":"):
        return True
    about = _ABOUT.search(text) is not None
    marks = re.escape(QUOTES)
    for name in classes:
        named = rf"(?<!\w){re.escape(name)}(?!\w)"
        quoted = rf"[{marks}]{re.escape(name)}[{marks}]"
        if re.search(named if about else quoted, text, re.IGNORECASE):
            return True
    return False


def _listed(rows: Sequence[Row]) -> str:
    return "\n".join(f"{number}. {_shown(row)}" for number, row in enumerate(rows, start=1))


def _shown(row: Row) -> str:
    return f" {PART} ".join(" ".join(text.split()[:WORDS]) for text in row)
