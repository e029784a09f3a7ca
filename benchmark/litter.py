"""What killed processes leave half-written in a store under names that nobody looks for again."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmark.core.locks import kernel_lock_if_free

_RANDOM = re.compile(r"\.(?P<key>.+)\.[0-9a-f]{8}(\.gone)?")
GONE = ".gone"


def remove_litter(root: Path) -> None:
    """Remove it. Call this under the store's lock, so that no other driver and its workers write.

    Features may be computed without that lock, and Ray drivers wait for it with a mark in the
    store; both hold locks of their own, by which they are known and left alone. What cannot be
    removed is left: no run fails for it.
    """
    for path, key in _temporaries(root, "features/.*"):
        _if_free(path.with_name(f".{key}.lock"), path.unlink)
    for mark in root.glob(".ray-*"):
        _if_free(mark, mark.unlink)
    for path, _ in _temporaries(root, "predictions/*/.*"):
        _remove(path)
    for path, _ in _temporaries(root, "sets/*/.*"):
        _remove(path)
    for path in [*root.glob("states/.*.damaged"), *root.glob("logits/.*.npy")]:
        _remove(path)


def _temporaries(root: Path, pattern: str) -> Iterator[tuple[Path, str]]:
    for path in root.glob(pattern):
        if found := _RANDOM.fullmatch(path.name):
            yield path, found["key"]


def _if_free(lock: Path, remove: Callable[[], None]) -> None:
    with contextlib.suppress(OSError), kernel_lock_if_free(lock) as free:
        if free:
            remove()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            # Renamed first: a worker that outlived its driver cannot finish half of a set.
            gone = path if path.name.endswith(GONE) else path.rename(f"{path}{GONE}")
            shutil.rmtree(gone)
        else:
            path.unlink()
