"""Candidate rows: written once, kept batch by batch, chosen from set by set."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

FILE = "candidates.json"


@dataclass(frozen=True)
class Candidate:
    """A written row: its texts, the distance (1 - cosine) of its gradient from that of real rows
    which it was not written from, and whether a classifier finds its class in it."""

    texts: tuple[str, ...]
    distance: float
    agrees: bool


def save(folder: Path, candidates: Sequence[Sequence[Candidate]]) -> None:
    """Write the candidates of every class."""
    write_json(folder / FILE, [[asdict(row) for row in rows] for rows in candidates])


def load(folder: Path) -> list[list[Candidate]]:
    """Read what `save` wrote."""
    body = json.loads((folder / FILE).read_text())
    return [
        [Candidate(tuple(row["texts"]), row["distance"], row["agrees"]) for row in rows]
        for rows in body
    ]


def write_json(path: Path, body: object) -> None:
    """Write a file, atomically."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(body))
    os.replace(temporary, path)


def choose(
    candidates: Sequence[Sequence[Candidate]],
    sizes: Sequence[int],
    share: float,
    balance: bool,
    rng: np.random.Generator,
) -> list[list[Candidate]]:
    """Choose so many rows of each class from a random `share` of its candidates.

    Rows whose label a classifier shares come first, and no text twice; among them those nearest to
    the real gradient. With `balance`, classes whose rows are nearer than those of the hardest class
    give up their nearest ones until their mean distance is no smaller, or none are left to give.
    """
    ranked = []
    for rows, size in zip(candidates, sizes, strict=True):
        count = max(size, round(share * len(rows)))
        drawn = [rows[i] for i in rng.choice(len(rows), min(count, len(rows)), replace=False)]
        ranked.append(_ranked(drawn))
    starts = [0] * len(ranked)
    if balance:
        hardest = max(
            (_mean(rows[:size]) for rows, size in zip(ranked, sizes, strict=True) if size),
            default=0.0,
        )
        starts = [_start(rows, n, hardest) for rows, n in zip(ranked, sizes, strict=True)]
    return [
        rows[start : start + size] for rows, start, size in zip(ranked, starts, sizes, strict=True)
    ]


def _ranked(rows: Sequence[Candidate]) -> list[Candidate]:
    ordered = sorted(rows, key=lambda row: (not row.agrees, row.distance))
    first: dict[tuple[str, ...], Candidate] = {}
    for row in ordered:
        first.setdefault(row.texts, row)
    kept = {id(row) for row in first.values()}
    return [*first.values(), *(row for row in ordered if id(row) not in kept)]


def _start(rows: Sequence[Candidate], size: int, hardest: float) -> int:
    """The first place from which `size` rows are on average as far away as the hardest class's.

    Only rows that agree, each text once, take part where they are enough: they are the first of
    the ranking.
    """
    room = max(size, len({row.texts for row in rows if row.agrees}))
    for start in range(max(0, min(room, len(rows)) - size) + 1):
        if _mean(rows[start : start + size]) >= hardest:
            return start
    return max(0, min(room, len(rows)) - size)


def _mean(rows: Sequence[Candidate]) -> float:
    return float(np.mean([row.distance for row in rows])) if rows else 0.0
