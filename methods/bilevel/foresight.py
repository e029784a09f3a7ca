"""What an unrolled training will take, told from a model's `config.json` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOKENS_A_WORD = 1.4
FORWARD, TRAINING, UNROLLED = 1.0, 3.0, 9.0
"""Passes over a token, the forward one counted as one: a backward pass is worth two, and a step
whose gradient is differentiated again has three of each kind."""
REPLAYED = 12.0
"""The same with a forward and a backward pass made again on the way back."""
OFFSET = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
"""Models that keep the positions up to the padding's number for themselves."""


@dataclass(frozen=True)
class Shape:
    """The size of a transformer encoder: layers, heads, widths, positions that a row can have."""

    layers: int
    heads: int
    width: int
    inner: int
    longest: int

    @classmethod
    def of(cls, folder: Path | None) -> Shape | None:
        """Read a model's folder; None if it is not at hand or has no such configuration."""
        try:
            config = json.loads((folder / "config.json").read_text()) if folder else {}
            return cls(
                _first(config, "num_hidden_layers", "n_layers", "n_layer"),
                _first(config, "num_attention_heads", "n_heads", "n_head"),
                _first(config, "hidden_size", "dim", "d_model"),
                _first(config, "intermediate_size", "hidden_dim", "d_inner"),
                longest(config),
            )
        except (OSError, ValueError, StopIteration):
            return None

    @property
    def weights(self) -> int:
        """Weights that are trained: all but the word table, to a few in a thousand."""
        layer = 4 * self.width**2 + 2 * self.width * self.inner + 9 * self.width + self.inner
        return self.layers * layer + (self.longest + 4) * self.width + self.width**2


def is_transformer(folder: Path | None) -> bool | None:
    """Whether a model's folder holds a transformer, and not word vectors; None if there is none."""
    if folder is None:
        return None
    return (folder / "config.json").is_file() or any(folder.glob("*.gguf"))


def longest(config: Mapping[str, Any]) -> int:
    """The most positions that a row can have, by a model's configuration."""
    most = int(config.get("max_position_embeddings", 512))
    if config.get("model_type") in OFFSET:
        most -= int(config.get("pad_token_id") or 0) + 1
    return most


def inner_steps(per_class: Sequence[int], passes: int, *, whole: bool = False) -> list[int]:
    """Rows of each inner step: one of each class that has one left, or the whole set every time."""
    steps = [sum(n > step for n in per_class) for step in range(max(per_class))]
    return ([sum(per_class)] if whole else steps) * passes


def outer_effort(
    inner_tokens: float,
    outer_tokens: float,
    look_tokens: float,
    steps: int,
    looks: int,
    *,
    replay: bool,
) -> float:
    """Passes of tokens in an optimisation of `steps` outer steps and `looks` at held-out rows.

    Parameters
    ----------
    inner_tokens : learned positions of all inner steps together.
    outer_tokens : of the real rows of an outer step.
    look_tokens : of the held-out rows.

    From 1 to 5 rows a class on SST-2, `tdd-cpu` took 1.70 times as long on a CPU (27 and 47
    minutes, one set each); this says 1.63.
    """
    step = (REPLAYED if replay else UNROLLED) * inner_tokens + TRAINING * outer_tokens
    look = 2 * (TRAINING * inner_tokens + FORWARD * look_tokens)  # of two fresh learners
    return steps * step + looks * look


def _first(config: Mapping[str, Any], *names: str) -> int:
    return int(next(config[name] for name in names if name in config))
