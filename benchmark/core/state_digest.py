"""Whether a prepared state's files are those that were written: by hash, once for each process."""

from __future__ import annotations

import errno
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.keys import sha256_file

DIGEST = "digest.json"
DESCRIPTION = "state.json"
LOST = (errno.EIO, errno.EISDIR)

_hashes: dict[tuple[int, ...], str] = {}
"""Files that this process has read, by what changes with them: states are large and often used.
A file that a part and a state share by a hard link is one, and read once."""


def seal(folder: Path) -> None:
    """Write down the hash of every file of a finished state.

    Not of its description, which can be written again, so that whatever is added to a folder later
    (answers that were paid for) is not lost with it.
    """
    files = {path.relative_to(folder).as_posix(): _sha256(path) for path in _files(folder)}
    if files:
        (folder / DIGEST).write_text(json.dumps({"sha256": files}, indent=1))


def damage(folder: Path) -> str:
    """Say what is wrong with a finished state; "" if nothing.

    Files that were added later are not looked at. States of older stores have no digest, nor have
    parts that began empty: they are taken as they are, where they can be read.
    """
    try:
        text = (folder / DIGEST).read_bytes()
    except FileNotFoundError:
        names = [path.relative_to(folder).as_posix() for path in unreadable(folder)]
        return f"{names[0]} cannot be read" if names else ""
    try:
        files = dict(json.loads(text)["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"{DIGEST} cannot be read"
    for name, expected in files.items():
        try:
            if _sha256(folder / name) != expected:
                return f"{name} is not what was written"
        except (FileNotFoundError, NotADirectoryError):
            return f"{name} is gone"
        except OSError as error:
            if error.errno not in LOST:
                raise
            return f"{name} cannot be read"
    return ""


def unreadable(folder: Path) -> list[Path]:
    """Files that are cut short or empty, as far as their form tells."""
    found = []
    for path in _files(folder):
        read = _READERS.get(path.suffix)
        try:
            if read is not None and not path.name.startswith("."):
                read(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in LOST:
                raise  # the machine's fault: no right to read, too many open files
            found.append(path)
        except Exception:  # whatever a reader raises, it means the same
            found.append(path)
    return found


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).as_posix() not in (DIGEST, DESCRIPTION):
            yield path


def _sha256(path: Path) -> str:
    stat = path.stat()
    file = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if file not in _hashes:
        _hashes[file] = sha256_file(path)
    return _hashes[file]


def _read_array(path: Path) -> None:
    form = np.lib.format
    with path.open("rb") as handle:
        version = form.read_magic(handle)
        if version in ((1, 0), (2, 0)):
            read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
            shape, _, dtype = read(handle)
            size = math.prod(shape) * dtype.itemsize
            if not dtype.hasobject and path.stat().st_size < handle.tell() + size:
                raise ValueError(f"{path} is cut short")


def _read_tensors(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, "np"):
        pass  # the header says how long the file is


_READERS: dict[str, Callable[[Path], Any]] = {
    ".json": lambda path: json.loads(path.read_bytes()),
    ".npy": _read_array,
    ".npz": lambda path: zipfile.ZipFile(path).close(),
    ".safetensors": _read_tensors,
}
