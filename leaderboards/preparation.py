"""What methods learned once per task: what each phase of it took, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from leaderboards.model import Leaderboard
from leaderboards.rounding import NOTHING, brief, decimals
from leaderboards.table import Entry, Table, entries

PHASE, FOUND = "phase_", "found_"
BEFORE, AFTER, CHANGE, LOW, HIGH = "_before", "_after", "_change", "_change_low", "_change_high"
PLACES = 3

Facts = Mapping[str, float]


def preparation_table(board: Leaderboard) -> Table | None:
    """Return seconds by phase and findings, a row for each task and method that learned something.

    Findings `x_before`, `x_after` and `x_change` are one column, with the interval of the change if
    there are `x_change_low` and `x_change_high`.
    """
    found = {(cell.id.task, cell.row): cell.preparation for cell in board.cells if cell.preparation}
    if not found:
        return None
    names = list(dict.fromkeys(name for facts in found.values() for name in facts))
    phases = [name for name in names if name.startswith(PHASE)]
    columns = _findings([name for name in names if name.startswith(FOUND)])
    rows = []
    for task in board.tasks:
        for key, label in board.labels.items():
            if (task, key) in found:
                facts = found[task, key]
                seconds = [_figure(facts.get(name)) for name in ("prepare_seconds", *phases)]
                rows.append(entries(task, label, *seconds, *(say(facts) for _, say in columns)))
    header = ("task", "method", "in all\n(s)")
    header += tuple(f"{_words(name, PHASE)}\n(s)" for name in phases)
    return Table("", (*header, *(head for head, _ in columns)), tuple(rows), left=2)


def _findings(names: list[str]) -> list[tuple[str, Callable[[Facts], Entry]]]:
    """Return a header and what fills it, for each finding or change."""
    changes = [n.removesuffix(BEFORE) for n in names if n.endswith(BEFORE)]
    parts = {base + end for base in changes for end in (BEFORE, AFTER, CHANGE, LOW, HIGH)}
    columns: list[tuple[str, Callable[[Facts], Entry]]] = []
    for name in names:
        if name not in parts:
            columns.append((_words(name, FOUND), lambda facts, n=name: _number(facts.get(n))))
    for base in changes:
        head = f"{_words(base, FOUND)}\n(before → after)"
        columns.append((head, lambda facts, b=base: _changed(facts, b)))
    return columns


def _changed(facts: Facts, base: str) -> Entry:
    """Before and after, as far as a method noted them: adapters and bundles may lack either."""
    old, new = facts.get(base + BEFORE), facts.get(base + AFTER)
    if old is None:
        return Entry(NOTHING)
    if new is None:
        return Entry(decimals(old, PLACES))
    change = facts.get(base + CHANGE, new - old)
    text = f"{decimals(old, PLACES)} → {decimals(new, PLACES)}"
    low, high = facts.get(base + LOW), facts.get(base + HIGH)
    if low is not None and high is not None:
        bounds = f"{decimals(low, PLACES)}, {decimals(high, PLACES)}"
        text += f", by {decimals(change, PLACES)} [{bounds}]"
    return Entry(text, value=float(change))


def _figure(value: float | None) -> Entry:
    return Entry(NOTHING) if value is None else Entry(brief(value), value=float(value))


def _number(value: float | None) -> Entry:
    if value is None:
        return Entry(NOTHING)
    text = brief(value) if float(value).is_integer() else decimals(value, PLACES)
    return Entry(text, value=float(value))


def _words(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).replace("_", " ")
