"""Where MLflow's data goes, and how its database is made without a trace in the output."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from benchmark.core.locks import kernel_lock

SQLITE = "sqlite:///"


def tracking_uri(store: Path) -> str:
    """Where MLflow's data goes: `MLFLOW_TRACKING_URI`, else a SQLite file in the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{store.resolve()}/mlflow.db"


def damaged_files(uri: str) -> list[Path]:
    """The files of MLflow's SQLite database if it is damaged, with its journal's; else none."""
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or not path.is_file():
        return []
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as database:
            fine = database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.OperationalError:  # locked or not to be read: that says nothing of its content
        return []
    except sqlite3.DatabaseError:
        fine = False
    beside = [path.with_name(f"{path.name}-{kind}") for kind in ("journal", "wal", "shm")]
    return [] if fine else [path, *filter(Path.exists, beside)]


def make_database(uri: str) -> None:
    """Make MLflow's SQLite file, if there is none, beside its place and rename it there.

    MLflow makes it in hundreds of steps and cannot go on after a kill between them.
    """
    if not uri.startswith(SQLITE):
        return
    from mlflow import MlflowClient

    path = Path(uri.removeprefix(SQLITE))
    with kernel_lock(path.with_name(f".{path.name}.lock")):
        if path.exists():
            return
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)
        MlflowClient(tracking_uri=f"{SQLITE}{temporary}").search_experiments(max_results=1)
        temporary.rename(path)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's and its migrations' log lines out of the benchmark's output."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    started = time.monotonic()
    try:
        yield
    finally:
        logging.getLogger("mlflow").debug("MLflow took %.1f s", time.monotonic() - started)
