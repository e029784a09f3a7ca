"""Arrays that a training computes once, kept in its folder in case it is killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np


def kept(path: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Read an array, or compute it and write it atomically."""
    if not path.exists():
        temporary = path.with_name(f".{path.name}.new")
        with temporary.open("wb") as handle:
            np.save(handle, compute())
        os.replace(temporary, path)
    return np.load(path)
