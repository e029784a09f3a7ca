"""Predicted classes of every training: in the database while a cell is at work, then in its file.

Cells may share a training (a copied set, a second suite): each cell's file holds all of its own.
"""

from __future__ import annotations

import io
import os
import sqlite3
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmark.core.errors import DamagedFileError
from benchmark.core.keys import canonical_json, sha256_text
from benchmark.core.records import CellId, Status
from benchmark.schema import CELL
from benchmark.store import Store

_OF_CELL = " AND ".join(f"{name}=?" for name in CELL)


class Predictions:
    """The predictions of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def path(self, cell: CellId) -> Path:
        """File with a cell's predictions: one array of class indices per run key (`.npz`)."""
        return self.store.root / "predictions" / cell.suite / file_name(cell)

    def load(self, cell: CellId) -> dict[str, np.ndarray]:
        """Predicted classes of a finished cell, by run key; raises `DamagedFileError`."""
        try:
            with np.load(self.path(cell), allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise DamagedFileError(
                f"predictions of {cell.label} cannot be read: {error}"
            ) from error

    def lost(self, cell: CellId, run_keys: Iterable[str]) -> set[str]:
        """Which of a cell's trainings have no predictions anywhere: they are to be done again."""
        missing = set(run_keys) - self._names(cell)
        missing -= {key for key in missing if self._pending(key) is not None}
        for key in list(missing):
            if any(key in self._names(other) for other in self._sharing(key)):
                missing.remove(key)
        return missing

    def fold(self, cell: CellId) -> None:
        """Move a finished cell's predictions from the database into its compressed file.

        Idempotent: the file is renamed into place before the database lets go of anything.
        """
        self.store.commit()
        found = self.store.database.execute(
            f"SELECT DISTINCT run_key FROM rows WHERE {_OF_CELL} AND status=?",
            (*_values(cell), Status.OK),
        )
        wanted = [key for (key,) in found]
        missing = set(wanted) - self._names(cell)
        if missing:
            self._write(cell, missing)
        self.store.forget_predictions(wanted)

    def _write(self, cell: CellId, missing: Iterable[str]) -> None:
        """Add trainings to a cell's file. Those of an edited recipe stay: it may come back."""
        bodies = self._bodies(cell)
        for key in missing:
            body = self._pending(key)
            others = (self._bodies(other) for other in self._sharing(key))
            body = body or next((found[key] for found in others if key in found), None)
            if body is not None:
                bodies[key] = body
        path = self.path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
                for key in sorted(bodies):
                    archive.writestr(f"{key}.npy", bodies[key])
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _names(self, cell: CellId) -> set[str]:
        """Run keys in a cell's file; none if it is not there or is damaged."""
        try:
            with zipfile.ZipFile(self.path(cell)) as archive:
                return {name.removesuffix(".npy") for name in archive.namelist()}
        except (OSError, zipfile.BadZipFile):
            return set()

    def _bodies(self, cell: CellId) -> dict[str, bytes]:
        try:
            with zipfile.ZipFile(self.path(cell)) as archive:
                names = archive.namelist()
                return {name.removesuffix(".npy"): archive.read(name) for name in names}
        except (OSError, zipfile.BadZipFile, zlib.error):
            return {}

    def _pending(self, run_key: str) -> bytes | None:
        """Predictions that are in the database still."""
        row = self.store.database.execute(
            "SELECT body FROM predictions WHERE run_key=?", (run_key,)
        ).fetchone()
        return _npy(np.frombuffer(zlib.decompress(row[0]), dtype="<u2")) if row else None

    def _sharing(self, run_key: str) -> Iterator[CellId]:
        """Cells with a row that points to this training."""
        found: sqlite3.Cursor = self.store.database.execute(
            f"SELECT DISTINCT {', '.join(CELL)} FROM rows WHERE run_key=?", (run_key,)
        )
        return (CellId(*row) for row in found.fetchall())


def file_name(cell: CellId) -> str:
    """Name of the file with a cell's predictions, in a store and in a bundle."""
    return f"{sha256_text(canonical_json(_values(cell)))[:16]}.npz"


def _values(cell: CellId) -> list[str]:
    return [getattr(cell, name) for name in CELL]


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array.astype(np.uint8) if array.size and array.max() < 256 else array)
    return buffer.getvalue()
