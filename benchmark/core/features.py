"""Cached features: one matrix per (texts, encoder), memory-mapped, checked by hash when opened."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmark.core.errors import DamagedFileError
from benchmark.core.keys import sha256_file
from benchmark.core.locks import kernel_lock


class FeatureCache:
    """A folder of feature matrices, each `KEY.npy` with a `KEY.json` that holds its sha256.

    `KEY.cost` says what it cost, for estimates.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, np.ndarray] = {}

    def get(
        self, key: str, compute: Callable[[], np.ndarray], about: Callable[[], dict] = dict
    ) -> np.ndarray:
        """Return the matrix of `key`, read-only; computed by one process if it is not there.

        `about()` is noted beside a matrix that is made now, with the seconds that it took.
        """
        if key not in self._open:
            self._open[key] = self._load_or_make(key, compute, about)
        return self._open[key]

    def release(self) -> None:
        """Close all matrices; pages of a map that was read count as this process's memory."""
        self._open = {}

    def has(self, key: str) -> bool:
        """Whether the matrix is on disk (its hash is not checked)."""
        return (self.folder / f"{key}.json").is_file()

    def described(self) -> list[dict]:
        """What was noted of every matrix that was made; unreadable notes are left out."""
        found = []
        for path in sorted(self.folder.glob("*.cost")):
            with contextlib.suppress(OSError, ValueError):
                found.append(json.loads(path.read_text()))
        return found

    def _load_or_make(
        self, key: str, compute: Callable[[], np.ndarray], about: Callable[[], dict]
    ) -> np.ndarray:
        try:
            return self._load(key)
        except (OSError, DamagedFileError):
            pass
        with kernel_lock(self.folder / f".{key}.lock"):  # encoding other texts does not wait
            try:  # another process may have made it while this one waited
                return self._load(key)
            except (OSError, DamagedFileError):
                started = time.perf_counter()
                features = compute()
                seconds = time.perf_counter() - started
                self._write(key, features)
                note = json.dumps({"seconds": seconds, **about()})
                (self.folder / f"{key}.cost").write_text(note)
        return self._load(key)

    def _load(self, key: str) -> np.ndarray:
        path = self.folder / f"{key}.npy"
        try:
            expected = json.loads((self.folder / f"{key}.json").read_text())["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFileError(f"features {key}: unreadable description") from error
        if sha256_file(path) != expected:
            raise DamagedFileError(f"features {key} do not match their hash")
        return np.load(path, mmap_mode="r")

    def _write(self, key: str, features: np.ndarray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{key}.{uuid.uuid4().hex[:8]}"
        try:
            with temporary.open("wb") as handle:
                np.save(handle, features)
            described = {
                "sha256": sha256_file(temporary),
                "shape": list(features.shape),
                "dtype": str(features.dtype),
            }
            os.replace(temporary, self.folder / f"{key}.npy")
            temporary.write_text(json.dumps(described))
            os.replace(temporary, self.folder / f"{key}.json")
        finally:
            temporary.unlink(missing_ok=True)
