"""What MLflow's page shows of a cell: the mean of its runs, renewed when a run is added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmark.core.keys import canonical_json, sha256_text
from benchmark.core.records import CellId
from benchmark.schema import CELL
from benchmark.store import Store


@dataclass(frozen=True)
class CellMeans:
    """A cell's numbers, and what tells them from those that were sent before."""

    cell: CellId
    environment: str
    created: float
    values: dict[str, float]
    digest: str

    @property
    def key(self) -> str:
        """The cell's key in the mirror."""
        return cell_key(self.cell)


def cell_key(cell: CellId) -> str:
    """A hash of the cell's identity, by which its MLflow run is found."""
    return sha256_text(canonical_json([getattr(cell, name) for name in CELL]))[:40]


def unsent_means(store: Store, uri: str) -> Iterator[CellMeans]:
    """Yield the cells of which MLflow has no numbers, or old ones.

    `score_mean` and `score_std` are of the task's primary metric over all runs (divisor n), in
    fractions; `n_runs` counts those that are ok, `n_failed` the others.
    """
    cell = ", ".join(f"r.{name}" for name in CELL)
    same = " AND ".join(f"c.{name} = r.{name}" for name in CELL)
    found = store.database.execute(
        f"SELECT {cell}, MAX(u.environment), MIN(u.created), SUM(u.status <> 'ok'),"
        " GROUP_CONCAT(CASE WHEN u.status = 'ok'"
        " THEN json_extract(u.scores, '$.' || c.metric) END)"
        f" FROM rows r JOIN runs u USING (run_key) LEFT JOIN cells c ON {same} GROUP BY {cell}"
    ).fetchall()
    noted = {
        (suite, key): digest
        for suite, key, digest in store.database.execute(
            "SELECT suite, key, mlflow_id FROM mirror WHERE kind='mean' AND uri=?", (uri,)
        )
    }
    for row in found:
        scores = np.array([float(text) for text in (row[9] or "").split(",") if text])
        values = {"n_runs": float(len(scores)), "n_failed": float(row[8])}
        if len(scores):
            values |= {"score_mean": float(scores.mean()), "score_std": float(scores.std())}
        digest = sha256_text(canonical_json(values))[:16]
        made = CellMeans(CellId(*row[:6]), row[6], row[7], values, digest)
        if noted.get((made.cell.suite, made.key)) != digest:
            yield made
