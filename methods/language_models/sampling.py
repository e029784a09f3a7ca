"""Sampling of many rows at once: nucleus (top-p), with a cache, finished rows taken out."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmark.core.errors import BenchmarkError
from benchmark.core.precision import computed_in
from benchmark.core.seeding import torch_generator
from methods.language_models.generator import Generator

ROWS_AT_ONCE = 512
COMPACT_BELOW = 0.75
"""Share of unfinished rows below which a batch is cut down to them."""
TRIES = 10


def sample_texts(
    generator: Generator,
    label: int,
    count: int,
    seed: int,
    *,
    top_p: float = 0.95,
    precision: str = "bfloat16",
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[tuple[str, ...]]:
    """Sample `count` rows of a class as tuples of texts.

    Malformed rows (a missing text of a pair, a blank text) are sampled again, in up to `TRIES`
    rounds for all that are missing; `report` is told how many rows there are.

    Raises `BenchmarkError` when rows are still missing after the last round.
    """
    sampler = Sampler(generator, top_p, precision)
    draws = torch_generator(seed, str(generator.device))
    made: list[tuple[str, ...]] = []
    for _ in range(TRIES):
        for size in _chunks(count - len(made)):
            sampled = sampler.sample(label, size, draws)
            made += [row for ids in sampled if (row := generator.serialiser.decode(ids))]
            report(len(made), count)
        if len(made) == count:
            return made
    raise BenchmarkError(
        f"the generator gave {len(made)} well-formed rows of class {label} in {TRIES} tries, "
        f"{count} were wanted; train its language model for more steps"
    )


def _chunks(total: int) -> list[int]:
    return [min(ROWS_AT_ONCE, total - start) for start in range(0, total, ROWS_AT_ONCE)]


class Sampler:
    """A generator made ready for sampling: a copy in low precision, in evaluation mode."""

    def __init__(self, generator: Generator, top_p: float, precision: str) -> None:
        self.serialiser = generator.serialiser
        model = generator.model
        if (dtype := computed_in(precision, generator.device)) is not torch.float32:
            model = copy.deepcopy(model).to(dtype)
        self.model = model.eval()
        self.top_p = top_p
        self.device = generator.device
        known = inspect.signature(model.forward).parameters
        # transformers 5.24 renamed the argument
        self.cache_argument = "cache" if "cache" in known else "past_key_values"

    @torch.inference_mode()
    def sample(self, label: int, count: int, draws: torch.Generator) -> list[np.ndarray]:
        """Sample `count` sequences; returns ids without class and end tokens, cut at the length."""
        from transformers import DynamicCache

        s = self.serialiser
        steps = s.max_length - 1
        out = torch.full((count, steps), s.eos, device=self.device)
        alive = torch.arange(count, device=self.device)
        tokens = torch.full((count, 1), s.start(label), device=self.device)
        finished = torch.zeros(count, dtype=torch.bool, device=self.device)
        cache = DynamicCache(config=self.model.config)
        forbidden = torch.tensor(s.forbidden, device=self.device)
        for step in range(steps):
            given: dict[str, Any] = {self.cache_argument: cache}
            logits = self.model(input_ids=tokens, use_cache=True, **given).logits[:, -1].float()
            logits[:, forbidden] = -torch.inf
            tokens = nucleus(logits.softmax(1), self.top_p, draws)[:, None]
            out[alive, step] = torch.where(finished, s.eos, tokens[:, 0])
            finished |= tokens[:, 0] == s.eos
            going = (~finished).nonzero().squeeze(1)
            if len(going) == 0:
                break
            if len(going) < COMPACT_BELOW * len(finished):
                cache.batch_select_indices(going)
                alive, tokens, finished = alive[going], tokens[going], finished[going]
        rows = out.cpu().numpy()
        ends = np.where((rows == s.eos).any(1), (rows == s.eos).argmax(1), steps)
        return [row[:end] for row, end in zip(rows, ends, strict=True)]


def nucleus(probabilities: torch.Tensor, top_p: float, draws: torch.Generator) -> torch.Tensor:
    """Draw one token a row from the smallest set of tokens that holds `top_p` of the probability.

    `probabilities` has shape (rows, vocabulary). Nothing is sorted: a token drawn from the whole
    distribution is kept if those more probable than it hold less than `top_p`, else it is drawn
    again, which happens to a share of at most 1 - `top_p`. Sorting takes ten times as long.
    """
    rows = torch.arange(len(probabilities), device=probabilities.device)
    cumulative = probabilities.cumsum(1)
    tokens = torch.empty_like(rows)
    while len(rows):
        uniform = torch.rand(len(rows), 1, device=rows.device, generator=draws)
        mass, parts = cumulative[rows], probabilities[rows]
        drawn = torch.searchsorted(mass, uniform * mass[:, -1:], right=True)
        drawn.clamp_(max=mass.shape[1] - 1)
        chosen = parts.gather(1, drawn)
        above = torch.where(parts > chosen, parts, 0.0).sum(1)
        kept = (above < top_p * mass[:, -1]) & (chosen[:, 0] > 0)
        tokens[rows[kept]] = drawn[kept, 0]
        rows = rows[~kept]
    return tokens


def columns_of(names: Sequence[str], rows: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    """Turn rows of texts into columns."""
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}
