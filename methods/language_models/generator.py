"""A generator: a causal language model with class tokens, saved in and loaded from a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmark.core.assets import load_causal_lm, load_tokenizer, quiet_transformers
from benchmark.core.errors import BenchmarkError
from benchmark.core.pool import Pool
from benchmark.core.seeding import isolated_torch_rng
from methods.language_models.foresight import SHORTEST_ROW
from methods.language_models.serialise import Serialiser, longest_row

DESCRIPTION = "generator.json"


@dataclass(frozen=True)
class Generator:
    """A model, and how rows of the task are written for it."""

    model: Any
    serialiser: Serialiser

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def save(self, folder: Path) -> None:
        """Write model, tokenizer and description."""
        with quiet_transformers():
            self.model.save_pretrained(folder)
        self.serialiser.tokenizer.save_pretrained(folder)
        s = self.serialiser
        described = {
            "n_classes": s.n_classes,
            "n_columns": s.n_columns,
            "base": s.base,
            "max_length": s.max_length,
        }
        (folder / DESCRIPTION).write_text(json.dumps(described))


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def adapt(folder: Path, pool: Pool, seed: int, max_length: int = 0) -> Generator:
    """Load a pretrained causal model and give it class tokens and a separator.

    As in DiLM's released code, the embedding of each class token starts as that of the model's own
    end-of-text token. `max_length` 0 means the longest row of the pool, within the context.

    Raises `BenchmarkError` for a tokenizer without an end token or a context that leaves no room.
    """
    model, tokenizer = load_causal_lm(folder, "float32"), load_tokenizer(folder)
    if tokenizer.eos_token_id is None:
        raise BenchmarkError(f"generator {folder.name}: its tokenizer has no end-of-text token")
    table = model.get_input_embeddings().weight
    context = getattr(model.config, "max_position_embeddings", None) or 2**20
    serialiser = fitting(Serialiser(tokenizer, 0, 0, len(table), 0), pool, context, max_length)
    with isolated_torch_rng(seed):
        model.resize_token_embeddings(serialiser.size, mean_resizing=False)
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[serialiser.base : serialiser.separator] = table[serialiser.eos]
    return Generator(model.to(device()), serialiser)


def fitting(plain: Serialiser, pool: Pool, context: int, max_length: int) -> Serialiser:
    """Return the serialiser of a pool for a model with room for `context` tokens."""
    n_columns = len(pool.text_columns)
    if max_length > context:
        raise BenchmarkError(
            f"max_length is {max_length} tokens, but the generator's context is {context}"
        )
    made = Serialiser(plain.tokenizer, len(pool.classes), n_columns, plain.base, context)
    length = max_length or min(context, longest_row(made, pool.texts()))
    if length < max(SHORTEST_ROW, 3 * n_columns):
        raise BenchmarkError(
            f"rows of {length} tokens leave no room for new text: the generator's context is "
            f"{context}, max_length {max_length or 'the longest row of the pool'}"
        )
    return Serialiser(plain.tokenizer, len(pool.classes), n_columns, plain.base, length)


def load(folder: Path) -> Generator:
    """Load what `Generator.save` wrote."""
    described = json.loads((folder / DESCRIPTION).read_text())
    serialiser = Serialiser(load_tokenizer(folder), **described)
    return Generator(load_causal_lm(folder, "float32").to(device()), serialiser)


@lru_cache(maxsize=1)
def held(folder: Path) -> Generator:
    """Load a generator and keep it: a cell asks it for twenty sets. Its weights must not change."""
    return load(folder)
