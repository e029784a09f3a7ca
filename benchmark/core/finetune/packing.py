"""Rows laid end to end without padding; only attention pads, within buckets of similar length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from benchmark.core.finetune.tokens import Ragged

BUCKET_COST = 6000  # padded query-key pairs per head that cost as much as one more bucket


@dataclass(frozen=True)
class Bucket:
    """Rows of a packed batch whose attention is computed as one padded block.

    `rows` and `tokens` say where they stand in the batch. `spread[i]` is which of these tokens is
    at padded position i (the row's first where that is padding), `collect[j]` the padded position
    of token j, `mask` is -inf on padding; all None when there is no padding. Where `tokens` is no
    slice, `gather` has the batch's token of each padded position in place of `spread`.
    """

    rows: slice | torch.Tensor
    tokens: slice | torch.Tensor
    count: int
    width: int
    spread: torch.Tensor | None
    collect: torch.Tensor | None
    mask: torch.Tensor | None
    gather: torch.Tensor | None = None


@dataclass(frozen=True)
class Packed:
    """A batch of rows, longest first. `order[i]` is the batch's row that stands at i."""

    ids: torch.Tensor
    types: torch.Tensor
    positions: torch.Tensor
    first: torch.Tensor
    buckets: tuple[Bucket, ...]
    order: torch.Tensor


def pack(batch: Ragged, position_padding: int | None, device: torch.device) -> Packed:
    """Lay the rows of a batch end to end; positions start anew in each row."""
    order = np.argsort(-batch.lengths, kind="stable")
    batch = batch.take(order)
    lengths, starts = batch.lengths, batch.offsets[:-1]
    if position_padding is None:
        positions = np.arange(len(batch.ids)) - np.repeat(starts, lengths)
    else:  # literal padding tokens within a text take no position
        real = batch.ids != position_padding
        counted = np.concatenate([[0], np.cumsum(real)])
        positions = np.where(real, counted[1:] - np.repeat(counted[starts], lengths), 0)
        positions += position_padding
    types = np.zeros(len(batch.ids)) if batch.types is None else batch.types
    return Packed(
        *(_tensor(array, device) for array in (batch.ids, types, positions, starts)),
        tuple(_bucket(batch, rows, device) for rows in _split(lengths)),
        torch.from_numpy(order),
    )


def _split(lengths: np.ndarray) -> list[slice]:
    """Cut rows, sorted by falling length, where padding would cost more than a bucket."""
    slices, start, wasted = [], 0, 0
    squares = lengths.astype(np.int64) ** 2
    for row in range(len(lengths)):
        wasted += squares[start] - squares[row]
        if wasted > BUCKET_COST:
            slices.append(slice(start, row))
            start, wasted = row, 0
    return [*slices, slice(start, len(lengths))]


def _bucket(batch: Ragged, rows: slice, device: torch.device) -> Bucket:
    lengths = batch.lengths[rows]
    tokens = slice(int(batch.offsets[rows.start]), int(batch.offsets[rows.stop]))
    count, width = len(lengths), int(lengths[0])
    if lengths[-1] == width:
        return Bucket(rows, tokens, count, width, None, None, None)
    real = np.arange(width) < lengths[:, None]
    collect = np.flatnonzero(real)
    within = np.where(real, np.arange(width), 0)
    starts = batch.offsets[:-1][rows] - batch.offsets[rows.start]
    spread = (starts[:, None] + within).reshape(-1)
    mask = np.where(real, 0.0, -np.inf).astype(np.float32)[:, None, None, :]
    return Bucket(
        rows,
        tokens,
        count,
        width,
        _tensor(spread, device),
        _tensor(collect, device),
        torch.from_numpy(mask).to(device, non_blocking=True),
    )


def _tensor(array: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.int64)).to(device, non_blocking=True)
