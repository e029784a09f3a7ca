"""What cannot be done at all, or not on this machine: said before any work."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmark.cells import Cell
from benchmark.core.errors import InputError

CGROUP = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def check_possible(cells: Iterable[Cell]) -> None:
    """Refuse a set that its method cannot make on any machine; raises `InputError`."""
    for cell in cells:
        why = cell.method.refuses(cell.outline, cell.budget)
        if why:
            raise InputError(
                f"task {cell.id.task!r}, {cell.method.name} at DPC {cell.id.dpc}: {why}"
            )


def check_memory(
    cells: Iterable[Cell], limit: float | None, lacks_sets: Callable[[Cell], bool]
) -> None:
    """Refuse a set that needs more memory than there is here, or than `limit` bytes allow.

    `lacks_sets` tells whether a cell has sets that are still to be made; it is asked last.
    For work on this machine only: the nodes of a cluster have memory of their own. What is free at
    the moment is not asked, for it changes until the work begins; the method asks it again then.

    Raises `InputError` that names both numbers.
    """
    for cell in cells:
        need = cell.method.need(cell.outline, cell.budget)
        if not need.bytes:
            continue
        there, whose = memory_here(), "this machine has"
        if limit is not None and limit < there:
            there, whose = limit, "--memory allows"
        if need.bytes > there and lacks_sets(cell):
            raise InputError(
                f"task {cell.id.task!r}, {cell.method.name} at DPC {cell.id.dpc}: a set would need "
                f"about {need.bytes / 1e9:.1f} GB, and {whose} {there / 1e9:.1f} GB. {need.advice}"
            )


def memory_here() -> float:
    """Bytes of the device that methods compute on: the GPU, else what this process may have."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory)
    physical = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in CGROUP:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if re.fullmatch(r"\d+", text):
            return min(physical, float(text))
    return physical
