"""Threads of numerical work: one number for all whose bits are kept, a share for each worker."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor


def usable_cores() -> int:
    """Cores that this process may use (fewer than the machine's under `taskset` or in a job)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def feature_threads() -> int:
    """Threads used for what is stored: one number for a process's cores, whatever the executor.

    Float sums depend on how work is cut up between threads; a fixed number makes every executor
    compute the same bits. What `at_once` maps over does not depend on it at all.
    """
    return min(8, usable_cores())


def use_threads(count: int) -> None:
    """Have this process compute with `count` threads from here on: BLAS, OpenMP and torch.

    Setting the variable alone would miss libraries that are loaded already, and torch is not
    imported for it: it reads the variable when a job first needs it.
    """
    from threadpoolctl import threadpool_limits

    os.environ["OMP_NUM_THREADS"] = str(count)
    threadpool_limits(limits=count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


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


Each = Callable[[Callable, Iterable], Iterator]


@contextlib.contextmanager
def at_once(threads: int | None = None) -> Iterator[Each]:
    """Give a `map` that works on several items at once, each with one thread of torch's.

    By default as many items as `feature_threads()`. Results come in the order of the items; when
    one fails, those that have not begun are not begun.
    """
    import torch

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            threads or feature_threads(), initializer=lambda: torch.set_num_threads(1)
        ) as pool:
            yield pool.map  # what is not begun is cancelled as soon as its results are let go
    finally:
        torch.set_num_threads(before)
