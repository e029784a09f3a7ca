"""Predictions of a cell in a bundle: classes by run key, written alike each time, read warily."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The date of every entry of a ZIP file: equal predictions make equal files."""

HEADER = 1024
"""Bytes for what stands before the numbers of an array."""

ENTRY, SLACK = 512, 2**16
"""Bytes that a ZIP file spends on an entry beside its content, and on itself, at most."""

ENCRYPTED = 1
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
UNREADABLE = (
    OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error,
    NotImplementedError, RuntimeError,
)  # fmt: skip
"""All that reading a spoiled ZIP file is known to raise."""


def save_predictions(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Write arrays of class indices by run key as a compressed `.npz`, byte for byte the same."""
    with zipfile.ZipFile(path, "w") as archive:
        for key in sorted(arrays):
            buffer = io.BytesIO()
            np.save(buffer, arrays[key], allow_pickle=False)
            entry = zipfile.ZipInfo(f"{key}.npy", FIRST_DAY)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue(), compresslevel=6)


def read_predictions(path: Path, length: int, keys: set[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield run key and classes of a `.npz` whose arrays have `length` numbers each.

    Sizes are checked before anything is unpacked, and no more than they say is ever unpacked.

    Raises:
        ValueError: the file cannot be read or holds something else; the message says what.
    """
    limit = 8 * length + HEADER
    try:
        if path.stat().st_size > len(keys) * (limit + ENTRY) + SLACK:
            raise ValueError("the file is larger than such predictions can be")
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename.removesuffix(".npy") for entry in entries]
            if len(set(names)) != len(names) or (odd := set(names) - keys):
                found = f"{len(odd)} arrays are of no run of the cell" if odd else "repeated"
                raise ValueError(found)
            for entry, name in zip(entries, names, strict=True):
                yield name, _array(_content(archive, entry, limit), length, f"run {name[:12]}")
    except UNREADABLE as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> bytes:
    if entry.file_size > limit:
        raise ValueError("an array is larger than one number a test row")
    if entry.flag_bits & ENCRYPTED:
        raise ValueError("an array is encrypted")
    if entry.compress_type not in PLAIN:
        raise ValueError("an array is compressed in another way than deflate")
    with archive.open(entry) as handle:
        content = handle.read(limit + 1)
    if len(content) != entry.file_size:
        raise ValueError("an array is not as long as the file says")
    return content


def _array(content: bytes, length: int, run: str) -> np.ndarray:
    """Read an array whose header is checked before room is made for what it promises."""
    handle = io.BytesIO(content)
    version = np.lib.format.read_magic(handle)
    if version != (1, 0):
        raise ValueError(f"{run}: an array of format {version}")
    shape, _, kind = np.lib.format.read_array_header_1_0(handle, max_header_size=HEADER)
    if kind.kind != "u" or len(shape) != 1:
        raise ValueError(f"{run}: not a row of class indices")
    if shape != (length,) or len(content) - handle.tell() != length * kind.itemsize:
        raise ValueError(f"{run} has not one class a test row, {length:,}")
    return np.frombuffer(content, kind, offset=handle.tell())
