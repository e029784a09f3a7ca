"""The store: one directory with everything that was made, and one SQLite file that says what it is.

Only the driver writes it, under a kernel lock, one transaction for a run or a small batch; every
file is written beside its place and renamed into it. So a kill at any instant loses at most the
runs in flight, and the same command finishes the rest.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import InputError
from benchmark.core.keys import canonical_json, sha256_text
from benchmark.core.locks import kernel_lock
from benchmark.core.records import (
    UNAVAILABLE,
    CellId,
    CellPlan,
    Row,
    RunRecord,
    SetRecord,
    Status,
)
from benchmark.database import open_to_read, open_to_write
from benchmark.litter import remove_litter
from benchmark.schema import CELL


class Store:
    """The store's directory and its database.

    Made where there is none, if `create`. Whoever only looks gives `writes=False`, which needs a
    store that is there, and no right to write to it.

    Raises `InputError` when the directory cannot be a store, was written by a newer version, or
    its database is damaged.
    """

    def __init__(self, root: Path, *, create: bool = True, writes: bool = True) -> None:
        self.root = root
        self.database = open_to_write(root, create=create) if writes else open_to_read(root)

    @property
    def reports(self) -> Path:
        """Where pages of suites are written."""
        return self.root / "reports"

    def close(self) -> None:
        """Commit what is pending and close the database."""
        self.commit()
        self.database.close()

    @contextmanager
    def writing(self, on_wait: Any = None) -> Iterator[None]:
        """Hold the store for writing; a second driver waits here, told by `on_wait`.

        What killed drivers and their workers left half-written is removed first.
        """
        with kernel_lock(self.root / ".lock", on_wait):
            remove_litter(self.root)
            try:
                yield
            finally:
                self.commit()

    # --- writing -------------------------------------------------------------------------------

    def _write(self, sql: str, rows: Iterable[tuple]) -> None:
        if not self.database.in_transaction:
            self.database.execute("BEGIN IMMEDIATE")
        self.database.executemany(sql, rows)

    def commit(self) -> None:
        """End the open transaction, if there is one.

        Transactions are short: the mirror's thread writes the same file in between.
        """
        if self.database.in_transaction:  # a full disk has ended it already
            self.database.execute("COMMIT")

    def put_cells(self, plans: Iterable[CellPlan]) -> None:
        """Write what cells are meant to hold."""
        self._write(
            f"INSERT OR REPLACE INTO cells VALUES ({','.join('?' * 12)})",
            [
                (
                    *_cell(p.cell),
                    p.n_sets,
                    p.n_seeds,
                    p.metric,
                    p.reason,
                    int(p.structural),
                    canonical_json(dict(p.info)),
                )
                for p in plans
            ],
        )

    def put_set(self, record: SetRecord) -> None:
        """Write what became of a set."""
        self._write(
            "INSERT OR REPLACE INTO sets VALUES (?,?,?,?,?,?)",
            [
                (
                    record.set_key,
                    record.set_hash,
                    record.status,
                    record.reason,
                    canonical_json(dict(record.ingredients)),
                    canonical_json(dict(record.facts)),
                )
            ],
        )

    def put_run(self, record: RunRecord, predictions: np.ndarray | None) -> None:
        """Write a training and its predicted classes, in one transaction."""
        known = self.database.execute(
            "SELECT 1 FROM runs WHERE run_key=?", (record.run_key,)
        ).fetchone()
        self._write(
            "INSERT OR REPLACE INTO runs VALUES (?,?,?,?,?,?,?,?)",
            [
                (
                    record.run_key,
                    record.status,
                    record.reason,
                    canonical_json(dict(record.scores)),
                    canonical_json(dict(record.costs)),
                    canonical_json(dict(record.ingredients)),
                    record.environment,
                    record.created,
                )
            ],
        )
        if known:  # done again: MLflow is to hear of it
            self._write(
                "UPDATE mirror SET mlflow_id='pending' WHERE kind='run' AND key=?",
                [(record.run_key,)],
            )
        if predictions is not None:
            body = zlib.compress(predictions.astype("<u2").tobytes(), 1)
            self._write("INSERT OR REPLACE INTO predictions VALUES (?,?)", [(record.run_key, body)])

    def put_rows(self, rows: Iterable[Row]) -> None:
        """Write rows; a row with the same identity is replaced."""
        self._write(
            f"INSERT OR REPLACE INTO rows VALUES ({','.join('?' * 12)})",
            [
                (
                    *_cell(r.cell),
                    r.set_index,
                    r.seed_index,
                    r.set_key,
                    r.run_key,
                    r.status,
                    r.reason,
                )
                for r in rows
            ],
        )

    def delete_rows(self, cell: CellId, indices: Iterable[tuple[int, int]]) -> None:
        """Delete rows of a cell; their trainings stay under their keys."""
        self._write(
            f"DELETE FROM rows WHERE {_WHERE_CELL} AND set_index=? AND seed_index=?",
            [(*_cell(cell), *index) for index in indices],
        )

    def forget_predictions(self, run_keys: Iterable[str]) -> None:
        """Delete predictions that a cell's file has now."""
        if self.database.execute("SELECT 1 FROM predictions LIMIT 1").fetchone() is None:
            return
        self._write("DELETE FROM predictions WHERE run_key=?", [(key,) for key in run_keys])
        self.commit()

    def put_environment(self, body: Mapping[str, Any]) -> str:
        """Write an environment and return its key."""
        text = canonical_json(body)
        key = sha256_text(text)[:16]
        self._write("INSERT OR IGNORE INTO environments VALUES (?,?)", [(key, text)])
        return key

    def put_mirror(self, suite: str, kind: str, key: str, uri: str, mlflow_id: str) -> None:
        """Note that MLflow has (or, with an empty id, is about to have) this run or set."""
        self._write(
            "INSERT OR REPLACE INTO mirror VALUES (?,?,?,?,?)", [(suite, kind, key, uri, mlflow_id)]
        )

    def mirrored_cells(self, uri: str) -> dict[str, str]:
        """For each suite the MLflow id of one of the cells that were sent."""
        found = self.database.execute(
            "SELECT suite, MIN(mlflow_id) FROM mirror WHERE uri=? AND kind='cell' GROUP BY suite",
            (uri,),
        )
        return dict(found.fetchall())

    def mirrored_states(self, uri: str) -> list[tuple[str, str, str]]:
        """Prepared states that were sent: suite, key, MLflow id."""
        return self.database.execute(
            "SELECT suite, key, mlflow_id FROM mirror WHERE uri=? AND kind='state'", (uri,)
        ).fetchall()

    def forget_mirrored_state(self, suite: str, key: str, uri: str) -> None:
        """Have a prepared state sent again."""
        self._write(
            "DELETE FROM mirror WHERE suite=? AND kind='state' AND key=? AND uri=?",
            [(suite, key, uri)],
        )

    def forget_mirror(self, suite: str, uri: str) -> None:
        """Have all of a suite sent again, to a tracking server that has lost it.

        Runs are marked as half sent, so that those which are there after all are replaced.
        """
        of_suite = " WHERE suite=? AND uri=?"
        self._write(
            f"UPDATE mirror SET mlflow_id='pending'{of_suite} AND kind='run'", [(suite, uri)]
        )
        self._write(f"DELETE FROM mirror{of_suite} AND kind<>'run'", [(suite, uri)])
        self.commit()

    def put_sent(self, suite: str, run_key: str, uri: str, mlflow_id: str, created: float) -> None:
        """Note that MLflow has this run, unless it was done again in the meantime."""
        self._write(
            "INSERT OR REPLACE INTO mirror SELECT ?,'run',?,?,? WHERE EXISTS"
            " (SELECT 1 FROM runs WHERE run_key=? AND created=?)",
            [(suite, run_key, uri, mlflow_id, run_key, created)],
        )

    # --- reading -------------------------------------------------------------------------------

    def sets(self) -> dict[str, SetRecord]:
        """All sets by key."""
        return {
            row[0]: SetRecord(
                row[0], row[1], Status(row[2]), row[3], json.loads(row[4]), json.loads(row[5])
            )
            for row in self.database.execute("SELECT * FROM sets")
        }

    def run_states(self) -> dict[str, tuple[Status, str]]:
        """Status and reason of every run key, but of those that every run tries again."""
        found = self.database.execute(
            "SELECT run_key, status, reason FROM runs"
            " WHERE status<>'failed' OR json_extract(costs, ?) IS NULL",
            (f"$.{UNAVAILABLE}",),
        )
        return {key: (Status(status), reason) for key, status, reason in found}

    def failed_runs(self) -> dict[str, str]:
        """The reason of every run key that failed."""
        return dict(self.database.execute("SELECT run_key, reason FROM runs WHERE status='failed'"))

    def other_params(self, cell: CellId) -> list[str]:
        """Other parameters with which the store has rows of the same cell, the latest first."""
        found = self.database.execute(
            "SELECT r.params FROM rows r LEFT JOIN runs u USING (run_key) WHERE suite=? AND task=?"
            " AND method=? AND dpc=? AND learner=? AND params<>? GROUP BY r.params"
            " ORDER BY MAX(u.created) DESC",
            (cell.suite, cell.task, cell.method, cell.dpc, cell.learner, cell.params),
        )
        return [params for (params,) in found]

    def rows_of(self, cell: CellId) -> dict[tuple[int, int], tuple[str, str, Status]]:
        """Rows of a cell: (set index, seed index) to (set key, run key, status)."""
        found = self.database.execute(
            f"SELECT set_index, seed_index, set_key, run_key, status FROM rows WHERE {_WHERE_CELL}",
            _cell(cell),
        )
        return {(row[0], row[1]): (row[2], row[3], Status(row[4])) for row in found}

    def row_states(self, suite: str) -> dict[tuple, tuple[str, str, str]]:
        """Every row of a suite: identity to (run key, status, reason)."""
        found = self.database.execute(
            f"SELECT {', '.join(CELL)}, set_index, seed_index, run_key, status, reason FROM rows"
            " WHERE suite=?",
            (suite,),
        )
        return {tuple(row[:8]): (row[8], row[9], row[10]) for row in found}

    def ingredients(self, table: str, key: str) -> dict[str, Any] | None:
        """What a set's or run's key was made of (`table` is `sets` or `runs`)."""
        column = {"sets": "set_key", "runs": "run_key"}[table]
        row = self.database.execute(
            f"SELECT ingredients FROM {table} WHERE {column}=?", (key,)
        ).fetchone()
        return json.loads(row[0]) if row else None

    def find_set(self, prefix: str) -> str:
        """The one set key that starts with `prefix`; raises `InputError` for none or several."""
        like = prefix.replace("%", "").replace("_", "")
        found = self.database.execute(
            "SELECT set_key FROM sets WHERE set_key LIKE ? AND status='ok' LIMIT 3", (f"{like}%",)
        ).fetchall()
        if not like or len(found) != 1:
            what = "no set" if not found else "more than one set"
            raise InputError(f"{what} in {self.root} has a key that starts with {prefix!r}")
        return found[0][0]

    # --- sets ----------------------------------------------------------------------------------

    def set_folder(self, set_key: str) -> Path:
        """Where a set is kept."""
        return self.root / "sets" / set_key[:2] / set_key

    def load_set(self, record: SetRecord) -> DistilledSet:
        """Read a set; raises `DamagedFileError` if it is not what its record says."""
        return DistilledSet.load(self.set_folder(record.set_key), record.set_hash)


_WHERE_CELL = " AND ".join(f"{name}=?" for name in CELL)


def _cell(cell: CellId) -> tuple[str, ...]:
    return tuple(getattr(cell, name) for name in CELL)
