"""Trainings that are in the rows and that MLflow does not have yet."""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmark.core.records import CellId
from benchmark.schema import CELL
from benchmark.store import Store


@dataclass(frozen=True)
class UnsentRun:
    """A training that MLflow does not have yet, with the first row that points to it."""

    cell: CellId
    set_index: int
    seed_index: int
    set_key: str
    run_key: str
    status: str
    reason: str
    scores: dict[str, float]
    costs: dict[str, float]
    environment: str
    created: float
    facts: dict[str, float]


def unsent_runs(store: Store, uri: str, limit: int) -> list[UnsentRun]:
    """Trainings that are in rows and not in MLflow, at most `limit`."""
    cell = ", ".join(f"r.{name}" for name in CELL)
    found = store.database.execute(
        f"SELECT {cell}, MIN(r.set_index * 1000000 + r.seed_index), r.set_key, r.run_key,"
        " u.status, u.reason, u.scores, u.costs, u.environment, u.created, s.facts"
        " FROM rows r JOIN runs u USING (run_key) JOIN sets s ON s.set_key = r.set_key"
        " LEFT JOIN mirror m ON m.suite = r.suite AND m.kind = 'run' AND m.key = r.run_key"
        "   AND m.uri = ? AND m.mlflow_id NOT IN ('', ?)"
        " WHERE m.key IS NULL GROUP BY r.suite, r.run_key"
        " ORDER BY r.suite, r.task, r.learner, r.dpc, r.method LIMIT ?",
        (uri, "pending", limit),
    ).fetchall()
    return [
        UnsentRun(
            CellId(*row[:6]),
            row[6] // 1_000_000,
            row[6] % 1_000_000,
            *row[7:11],
            json.loads(row[11]),
            json.loads(row[12]),
            row[13],
            row[14],
            json.loads(row[15]),
        )
        for row in found
    ]
