"""What methods learned once per task: what each phase of it took, and what it found."""

from __future__ import annotations

from leaderboards.model import Leaderboard
from leaderboards.rounding import NOTHING, brief, decimals
from leaderboards.table import Entry, Table, entries

PHASE, FOUND = "phase_", "found_"
INTERVAL = ("_low", "_high")


def preparation_table(board: Leaderboard) -> Table | None:
    """Return seconds by phase and findings, a row for each task and method that learned something.

    A finding `x` with `x_low` and `x_high` beside it is shown with that interval.
    """
    found = {(cell.id.task, cell.row): cell.preparation for cell in board.cells if cell.preparation}
    if not found:
        return None
    names = list(dict.fromkeys(name for facts in found.values() for name in facts))
    phases = [name for name in names if name.startswith(PHASE)]
    findings = [n for n in names if n.startswith(FOUND) and not n.endswith(INTERVAL)]
    rows = []
    for task in board.tasks:
        for key, label in board.labels.items():
            if (task, key) not in found:
                continue
            facts = found[task, key]
            seconds = [_figure(facts.get(name), brief) for name in ("prepare_seconds", *phases)]
            shown = [_finding(facts, name) for name in findings]
            rows.append(entries(task, label, *seconds, *shown))
    header = ("task", "method", "in all\n(s)")
    header += tuple(f"{_words(name, PHASE)}\n(s)" for name in phases)
    header += tuple(_words(name, FOUND) for name in findings)
    return Table("", header, tuple(rows), left=2)


def _figure(value: float | None, show) -> Entry:
    return Entry(NOTHING) if value is None else Entry(show(value), value=float(value))


def _finding(facts, name: str) -> Entry:
    if name not in facts:
        return Entry(NOTHING)
    value = facts[name]
    text = brief(value) if float(value).is_integer() else decimals(value, 3)
    low, high = (facts.get(name + end) for end in INTERVAL)
    if low is not None and high is not None:
        text = f"{text} [{decimals(low, 3)}, {decimals(high, 3)}]"
    return Entry(text, value=float(value))


def _words(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).replace("_", " ")
