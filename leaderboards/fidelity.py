"""Beside the papers: a published figure, ours with its interval, and what we ran otherwise.

The figures are data (`paper_figures.csv`, each with the paper and table that it is from), and so is
what the papers ran (`paper_protocols.toml`). A figure is shown where a cell has its task, method,
learner and budget, or one that the second file lets stand in for it; then that is a deviation.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from leaderboards.model import CellResult, Leaderboard
from leaderboards.rounding import percent
from leaderboards.rows import parse
from leaderboards.table import Entry, Table, entries

Match = tuple[str, str, str, str]
"""Task, method, learner and DPC of a figure."""


@dataclass(frozen=True)
class Figure:
    """One published score, in points; `std` is "" where the paper gives none."""

    paper: str
    source: str
    task: str
    method: str
    learner: str
    dpc: str
    setting: str
    mean: str
    std: str


@lru_cache(maxsize=1)
def figures() -> Mapping[Match, tuple[Figure, ...]]:
    """Return the published figures by what they are of; several where settings differ."""
    with (files("leaderboards") / "paper_figures.csv").open(encoding="utf-8") as handle:
        found: dict[Match, tuple[Figure, ...]] = {}
        for line in csv.DictReader(handle):
            one = Figure(**line)
            key = one.task, one.method, one.learner, one.dpc
            found[key] = (*found.get(key, ()), one)
    return found


@lru_cache(maxsize=1)
def protocols() -> Mapping[str, Any]:
    """Return what the papers ran, and what may stand in for it."""
    text = (files("leaderboards") / "paper_protocols.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def fidelity_table(board: Leaderboard) -> Table | None:
    """Return a line for each published figure that a cell corresponds to; None without any."""
    rows = [
        _line(board, cell, figure)
        for cell in board.cells
        if cell.summary is not None
        for figure in _published(cell)
    ]
    head = (
        "task", "DPC", "learner", "method", "paper", "what we ran otherwise", "figure",
        "ours\n(95% interval)", "difference",
    )  # fmt: skip
    return Table("", head, tuple(rows), left=6) if rows else None


def deviations(cell: CellResult, figure: Figure) -> list[str]:
    """Say in what a cell differs from what the paper ran, as far as the rows tell."""
    paper = protocols()["paper"][figure.paper]
    told = [said for _, said in _stand_ins(cell) if said]
    params = paper.get("params_of", {}).get(figure.method, paper.get("params", {}))
    told += _others(parse(cell.id.params), params | _setting(figure))
    recipe = cell.info.get("recipe")
    told += _others(recipe if isinstance(recipe, Mapping) else {}, paper.get("recipe", {}))
    how = str(cell.info.get("sampling", ""))
    if how.startswith("resampled"):  # a paper has one set of a deterministic method
        share = how.removeprefix("resampled").strip() or "a share"
        told.append(f"sets from resampled pools ({share} of the training rows)")
    theirs = (paper["sets"], paper["seeds"])
    if figure.method in paper["one_set"]:
        theirs = (1, paper["runs_of_one_set"])
    if cell.planned != theirs:
        told.append(f"{_size(cell.planned)} (paper {_size(theirs)})")
    if cell.status != "ok":
        told.append(f"{cell.lacking} runs missing")
    return told


def _published(cell: CellResult) -> Iterator[Figure]:
    """Yield the figures of a cell: one for each table that has it, its own setting preferred."""
    task, method, learner, dpc = (name for name, _ in _stand_ins(cell))
    by_table: dict[tuple[str, str], list[Figure]] = {}
    for figure in figures().get((task, method, learner, dpc), ()):
        by_table.setdefault((figure.paper, figure.source), []).append(figure)
    params = parse(cell.id.params)
    for found in by_table.values():
        yield next((f for f in found if not _others(params, _setting(f))), found[0])


def _stand_ins(cell: CellResult) -> list[tuple[str, str]]:
    """Return the paper's task, method, learner and DPC of a cell, each with what is other."""
    named = {"task": cell.id.task, "method": cell.id.method, "learner": cell.id.learner}
    found = []
    for kind, name in named.items():
        other = protocols().get(kind, {}).get(name)
        found.append((other["of"], other["says"]) if other else (name, ""))
    other = protocols().get("budget", {}).get(found[0][0], {}).get(cell.id.dpc)
    return [*found, (other["of"], other["says"]) if other else (cell.id.dpc, "")]


def _setting(figure: Figure) -> dict[str, Any]:
    name, _, value = figure.setting.partition("=")
    return {name: value} if name else {}


def _others(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}={ours[name]} (paper {value})"
        for name, value in theirs.items()
        if name in ours and ours[name] != value
    ]


def _size(plan: tuple[int, int]) -> str:
    return f"{plan[0]} × {plan[1]} runs"


def _line(board: Leaderboard, cell: CellResult, figure: Figure) -> tuple[Entry, ...]:
    paper = protocols()["paper"][figure.paper]["title"]
    low, high = cell.summary.ci_low, cell.summary.ci_high
    bounds = f" ({percent(low)} to {percent(high)})" if np.isfinite(low) else ""
    lead = cell.mean - float(figure.mean) / 100
    return (
        *entries(cell.id.task, "all" if cell.id.dpc == "0" else cell.id.dpc, cell.id.learner),
        *entries(board.labels[cell.row], f"{paper}, {figure.source}"),
        Entry("; ".join(deviations(cell, figure)) or "nothing that is listed"),
        Entry(figure.mean + (f"±{figure.std}" if figure.std else ""), value=float(figure.mean)),
        Entry(f"{percent(cell.mean)}{bounds}", value=cell.mean),
        Entry(percent(lead), value=lead),
    )
