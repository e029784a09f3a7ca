"""How a store's database is opened: by the driver to write it, by whoever only looks to read it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.core.errors import InputError
from benchmark.core.locks import kernel_lock
from benchmark.schema import SCHEMA, SCHEMA_VERSION

FILE = "rows.sqlite"
WAIT_SECONDS = 60


def open_to_write(root: Path, *, create: bool) -> sqlite3.Connection:
    """Open the database of the store at `root`; where there is none it is made, if `create`.

    Raises `InputError` when the directory cannot be a store, was written by a newer version, or
    its database is damaged.
    """
    path = _path(root, create=create)
    root.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
    with _closed_if_refused(database, path):
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        with kernel_lock(root / ".schema-lock"):
            if not _has_tables(database):
                _make_tables(database)
        _check_version(database, path)
    return database


def open_to_read(root: Path) -> sqlite3.Connection:
    """Open the database of the store at `root` to look at it, without any right to write there.

    Raises what `open_to_write` does, and `InputError` where there is none.
    """
    path = _path(root, create=False)
    try:
        # Not `mode=ro`, which leaves the WAL's files behind when the last reader is gone.
        return _reading(path, "mode=rw")
    except sqlite3.OperationalError as error:
        # A database in WAL mode is read beside two more files, which cannot be made here. SQLite
        # can do without them while nobody writes; a writer's WAL is never empty.
        wal = path.with_name(f"{FILE}-wal")
        refused = (error.sqlite_errorcode & 0xFF) in (
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
        )
        if not refused or (wal.exists() and wal.stat().st_size):
            raise
        return _reading(path, "mode=ro&immutable=1")


def _reading(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{how}"
    database = sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
    with _closed_if_refused(database, path):
        if not _has_tables(database):  # the driver was killed before it made them
            database.close()
            database = sqlite3.connect(":memory:", isolation_level=None)
            _make_tables(database)
        database.execute("PRAGMA query_only=ON")
        _check_version(database, path)
    return database


def _path(root: Path, *, create: bool) -> Path:
    """Where the database is or may be made."""
    path = root / FILE
    if root.exists() and not root.is_dir():
        raise InputError(f"--store {root}: this is a file, not a directory")
    if not create and not path.is_file():
        raise InputError(f"{root}: there is no store here yet; `python -m benchmark run` makes one")
    return path


@contextmanager
def _closed_if_refused(database: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Close a database that turns out to be of no use, and say what to do with a damaged one."""
    try:
        yield
    except sqlite3.OperationalError:
        database.close()
        raise
    except sqlite3.DatabaseError as error:
        database.close()
        raise InputError(
            f"{path} is damaged ({error}). Move it away and run the same command again: "
            "features and what methods have learned are found by their keys, sets and "
            "trainings are made again"
        ) from error
    except InputError:
        database.close()
        raise


def _has_tables(database: sqlite3.Connection) -> bool:
    query = "SELECT name FROM sqlite_master WHERE type='table' AND name='meta'"
    return database.execute(query).fetchone() is not None


def _make_tables(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";\n"):
        database.execute(statement)
    database.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
    database.execute("COMMIT")


def _check_version(database: sqlite3.Connection, path: Path) -> None:
    row = database.execute("SELECT value FROM meta WHERE name='schema'").fetchone()
    version = int(row[0]) if row else 0
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path} was written by a newer version of the benchmark (schema {version}, this "
            f"one knows {SCHEMA_VERSION}): update the benchmark, or give another --store"
        )
