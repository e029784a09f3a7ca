"""Predictions of a cell in a bundle: classes by run key, written alike each time, read warily."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The date of every entry of a ZIP file: equal predictions make equal files."""


def save_predictions(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Write arrays of class indices by run key as a compressed `.npz`, byte for byte the same."""
    with zipfile.ZipFile(path, "w") as archive:
        for key in sorted(arrays):
            buffer = io.BytesIO()
            np.save(buffer, arrays[key], allow_pickle=False)
            entry = zipfile.ZipInfo(f"{key}.npy", FIRST_DAY)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue(), compresslevel=6)


def read_predictions(path: Path, limit: int, keys: set[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield run key and classes of a `.npz`, its sizes checked before anything is unpacked."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename.removesuffix(".npy") for entry in entries]
        if len(set(names)) != len(names) or (odd := set(names) - keys):
            raise ValueError(f"{len(odd)} arrays are of no run of the cell" if odd else "repeated")
        if any(entry.file_size > limit for entry in entries):
            raise ValueError("an array is larger than one number a test row")
        for entry, name in zip(entries, names, strict=True):
            with archive.open(entry) as handle:
                array = np.lib.format.read_array(handle, allow_pickle=False)
            if array.ndim != 1 or array.dtype.kind != "u" or array.size == 0:
                raise ValueError(f"run {name[:12]}: not a row of class indices")
            yield name, array
