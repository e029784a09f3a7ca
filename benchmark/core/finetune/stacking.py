"""Batches of several runs as one: each run's tokens in a block of its own, padded at its end.

Only attention mixes tokens, and only within a row, so rows of all runs that are equally wide share
a bucket. Wider buckets than a run has alone would change its rounding, so none is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.core.finetune.packing import Bucket, Packed


@dataclass(frozen=True)
class Stacked(Packed):
    """Batches of runs with equally many rows, end to end.

    Token i of run r stands at r x `width` + i; padding is any token of the same run, so that a run
    of which nothing is finite any more touches no other. `ids`, `types` and `positions` are rows
    of the runs' tables in use.

    Attributes
    ----------
    runs : the batches, each laid out alone.
    tokens : tokens of each run.
    width : the most tokens of a run.
    members : for each bucket, the (run, bucket of that run) that it joins.
    """

    runs: tuple[Packed, ...]
    tokens: tuple[int, ...]
    width: int
    members: tuple[tuple[tuple[int, int], ...], ...]


def stack(
    runs: Sequence[Packed],
    locate: Sequence[Callable[[int, torch.Tensor], torch.Tensor]],
    device: torch.device,
) -> Stacked:
    """Join batches that were laid out on the CPU.

    `locate[t](run, ids)` gives the places of ids of table t (words, positions, types) in the
    stacked table in use.
    """
    tokens = tuple(len(run.ids) for run in runs)
    width = max(tokens)
    shared: dict[int, list[tuple[int, int]]] = {}
    for r, run in enumerate(runs):
        for b, bucket in enumerate(run.buckets):
            shared.setdefault(bucket.width, []).append((r, b))
    members = tuple(tuple(shared[size]) for size in sorted(shared, reverse=True))
    first = torch.cat([run.first + r * width for r, run in enumerate(runs)])

    def place(table: int, of: Callable[[Packed], torch.Tensor]) -> torch.Tensor:
        if table >= len(locate):
            return torch.empty(0, dtype=torch.int64)
        ids = torch.empty(len(runs), width, dtype=torch.int64)
        for r, run in enumerate(runs):
            local = locate[table](r, of(run))
            ids[r, : tokens[r]] = local
            ids[r, tokens[r] :] = local[0]
        return ids.view(-1).to(device, non_blocking=True)

    return Stacked(
        ids=place(0, lambda run: run.ids),
        positions=place(1, lambda run: run.positions),
        types=place(2, lambda run: run.types),
        first=first.to(device, non_blocking=True),
        buckets=tuple(_join(runs, group, width, device) for group in members),
        order=torch.stack([run.order for run in runs]),
        runs=tuple(runs),
        tokens=tokens,
        width=width,
        members=members,
    )


def _join(
    runs: Sequence[Packed], group: Sequence[tuple[int, int]], width: int, device: torch.device
) -> Bucket:
    """One bucket of equally wide buckets of several runs."""
    rows, tokens, gather, collect, masks = [], [], [], [], []
    done = 0
    for r, b in group:
        bucket = runs[r].buckets[b]
        assert isinstance(bucket.rows, slice)
        assert isinstance(bucket.tokens, slice)
        size = bucket.count * bucket.width
        mine = np.arange(bucket.tokens.start, bucket.tokens.stop) + r * width
        rows.append(np.arange(bucket.rows.start, bucket.rows.stop) + r * len(runs[r].first))
        tokens.append(mine)
        gather.append(mine if bucket.spread is None else mine[bucket.spread])
        collect.append((np.arange(size) if bucket.collect is None else bucket.collect) + done)
        no_mask = np.zeros((bucket.count, 1, 1, bucket.width), np.float32)
        masks.append(no_mask if bucket.mask is None else bucket.mask)
        done += size

    def joined(parts: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(parts)).to(device, non_blocking=True)

    full = all(runs[r].buckets[b].mask is None for r, b in group)
    return Bucket(
        joined(rows),
        joined(tokens),
        sum(map(len, rows)),
        runs[group[0][0]].buckets[group[0][1]].width,
        None,
        None if full else joined(collect),
        None if full else joined(masks),
        joined(gather),
    )
