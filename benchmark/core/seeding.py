"""The one source of randomness: named axes in, an independent seed out.

A seed is the SHA-256 of its purpose and axes, so any single run can be repeated alone, adding an
axis value never shifts another stream, and two purposes never share a stream by accident.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Axis = str | int | float | bool | None


def seed_of(purpose: str, **axes: Axis) -> int:
    """Return a 63-bit seed for `purpose` at the point that `axes` name, in any order."""
    text = json.dumps([purpose, sorted(axes.items())], ensure_ascii=False, allow_nan=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int) -> np.random.Generator:
    """Return a fresh NumPy generator; the only way in which the project makes one."""
    return np.random.default_rng(seed)


def small_seed(seed: int) -> int:
    """Fold a 63-bit seed to the 32 bits that scikit-learn's `random_state` accepts."""
    return seed % (2**32)


def torch_generator(seed: int, device: str = "cpu") -> torch.Generator:
    """Return a fresh torch generator on `device`."""
    import torch

    return torch.Generator(device=device).manual_seed(seed)


@contextlib.contextmanager
def isolated_torch_rng(seed: int) -> Iterator[None]:
    """Seed torch's global streams inside the block and restore them afterwards.

    Needed where a library draws from the global stream (weight initialisation, dropout); nothing
    outside the block sees the difference.
    """
    import torch

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
