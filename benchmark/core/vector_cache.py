"""Vectors that endpoints have answered, and what all their replies cost, in one SQLite file."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.core.locks import kernel_lock

FILE = "endpoints.sqlite"


class VectorCache:
    """Vectors by the hash of what was encoded, and the tokens that every reply cost.

    A reply is written in one transaction, so that nothing that was paid for is ever lost.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    @contextlib.contextmanager
    def asking(self, encoder: str) -> Iterator[None]:
        """Hold an encoder's endpoint: whoever waited finds the vectors that another paid for."""
        with kernel_lock(self.path.with_name(f".{encoder}.lock")):
            yield

    def find(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the vectors that are there."""
        found = {}
        with self._open() as database:
            for key in keys:
                row = database.execute("SELECT vector FROM vectors WHERE key = ?", (key,))
                for (vector,) in row:
                    found[key] = np.frombuffer(vector, dtype=np.float32)
        return found

    def add(self, encoder: str, keys: Sequence[bytes], vectors: np.ndarray, tokens: int) -> None:
        """Keep one reply of vectors and its cost."""
        with self._open() as database:
            rows = [(k, v.tobytes()) for k, v in zip(keys, vectors, strict=True)]
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
            database.execute("INSERT INTO replies VALUES (?, ?)", (encoder, tokens))

    def bill(self, who: str, tokens: int) -> None:
        """Note the cost of a reply that is kept elsewhere."""
        with self._open() as database:
            database.execute("INSERT INTO replies VALUES (?, ?)", (who, tokens))

    def tokens(self, who: str) -> int:
        """Tokens that all replies to an encoder or writer cost."""
        with self._open() as database:
            query = "SELECT COALESCE(SUM(tokens), 0) FROM replies WHERE encoder = ?"
            return int(database.execute(query, (who,)).fetchone()[0])

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=60)) as database, database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)"
                )
                database.execute(
                    "CREATE TABLE IF NOT EXISTS replies (encoder TEXT, tokens INTEGER)"
                )
                yield database
        except sqlite3.DatabaseError as error:
            raise BenchmarkError(
                f"{self.path}: {error}; if it is damaged, remove it and ask for all again"
            ) from error


def tokens_billed(folder: Path) -> int:
    """Tokens that all endpoints have billed; 0 where no file is there or it cannot be read.

    It is for show: whoever needs the file says what is wrong with it.
    """
    path = folder / FILE
    if not path.is_file():
        return 0
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=60)) as database:
            query = "SELECT COALESCE(SUM(tokens), 0) FROM replies"
            return int(database.execute(query).fetchone()[0])
    except sqlite3.DatabaseError:
        return 0
