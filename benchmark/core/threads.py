"""One number of threads for all numerical work whose bits are kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


def feature_threads() -> int:
    """Threads used for what is stored: one number per machine, whatever the executor.

    Float sums depend on how work is cut up between threads; a fixed number makes every executor
    compute the same bits. Cores that the process may not use (`taskset`, a container) don't count.
    """
    if hasattr(os, "sched_getaffinity"):
        return min(8, len(os.sched_getaffinity(0)))
    return min(8, os.cpu_count() or 1)


@contextlib.contextmanager
def fixed_threads() -> Iterator[None]:
    """Give torch `feature_threads()` threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(feature_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)
