"""Log-likelihoods of many rows in one pass, packed so that little of it is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmark.core.precision import autocast

LINE = 256
"""Least tokens that a packed line holds. Attention is quadratic in it, padding falls with it."""

_PACKS: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihood of each row, summed over its predicted tokens, and their number.

    Both have shape (rows,). The first token of a row, its class, is given and not predicted.
    """

    nll: torch.Tensor
    tokens: torch.Tensor

    @property
    def per_token(self) -> torch.Tensor:
        """Mean over a row's own tokens: equation 1 of DiLM."""
        return self.nll / self.tokens


@dataclass(frozen=True)
class _Lines:
    """Rows laid into lines: ids and positions (lines, width); `owner` is the row whose next token
    a place predicts, -1 where it predicts nothing."""

    ids: np.ndarray
    positions: np.ndarray
    owner: np.ndarray


def likelihood(model: Any, rows: Sequence[np.ndarray], precision: str) -> Likelihood:
    """Compute the likelihood of each row, with gradients where they are enabled.

    Several rows stand in one line, positions starting anew with each, from which transformers
    builds a block-diagonal causal mask. Models that do not (see `packs`) get one row a line.
    """
    packed = packs(model)
    lines = _lay(rows, LINE if packed else 0)
    device = next(model.parameters()).device
    ids = torch.from_numpy(lines.ids).to(device)
    given = {"position_ids": torch.from_numpy(lines.positions).to(device)} if packed else {}
    with autocast(precision, device):
        logits = model(input_ids=ids, use_cache=False, **given).logits
    owner = torch.from_numpy(lines.owner).to(device).reshape(-1)
    predicting = (owner >= 0).nonzero().squeeze(1)
    losses = cross_entropy(
        logits.reshape(-1, logits.shape[-1])[predicting].float(),
        ids.reshape(-1)[predicting + 1],
        reduction="none",
    )
    nll = torch.zeros(len(rows), device=device).index_add(0, owner[predicting], losses)
    return Likelihood(nll, torch.tensor([len(row) - 1 for row in rows], device=device))


@torch.no_grad()
def packs(model: Any) -> bool:
    """Whether the model keeps rows of one line apart: tried once, with two short rows."""
    if model not in _PACKS:
        training, device = model.training, next(model.parameters()).device
        model.eval()
        first, second = [1, 2, 3], [2, 1, 4, 3]
        together = torch.tensor([first + second], device=device)
        positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3]], device=device)
        packed = model(input_ids=together, position_ids=positions, use_cache=False).logits[0]
        alone = [
            model(input_ids=torch.tensor([row], device=device), use_cache=False).logits[0]
            for row in (first, second)
        ]
        model.train(training)
        _PACKS[model] = bool(torch.allclose(packed, torch.cat(alone), atol=1e-3, rtol=1e-3))
    return _PACKS[model]


def _lay(rows: Sequence[np.ndarray], room: int) -> _Lines:
    """Lay rows into as few lines as first-fit finds, longest rows first; one each for room 0."""
    lengths = [len(row) for row in rows]
    room = max(room, max(lengths)) if room else 0
    lines: list[list[int]] = []
    used: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: -lengths[i]):
        place = next((n for n, u in enumerate(used) if u + lengths[i] <= room), len(lines))
        if place == len(lines):
            lines.append([])
            used.append(0)
        lines[place].append(i)
        used[place] += lengths[i]
    shape = (len(lines), max(used))
    ids, positions = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    owner = np.full(shape, -1, dtype=np.int64)
    for place, line in enumerate(lines):
        at = 0
        for i in line:
            stop = at + lengths[i]
            ids[place, at:stop] = rows[i]
            positions[place, at:stop] = np.arange(lengths[i])
            owner[place, at : stop - 1] = i
            at = stop
        # Padding is rows of its own, none longer than the model has seen.
        positions[place, at:] = np.arange(shape[1] - at) % max(lengths)
    return _Lines(ids, positions, owner)
