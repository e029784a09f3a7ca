"""Freed memory goes back to the operating system, so that long jobs do not seem to grow."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
    """Return memory that is free inside this process to the system, where the C library can.

    Batches of texts differ in shape, and glibc keeps the holes that their tensors leave: the
    process of a job of an hour grows to several times what it uses, and is then killed for memory
    in which nothing lies. Takes milliseconds; does nothing where the C library is another.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):
        return None
