"""A trained inverter: both models, their tokenizer, saved in and loaded from a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.core.assets import load_seq2seq, load_tokenizer, quiet_transformers
from benchmark.core.checkpoint import Weights
from benchmark.core.errors import BenchmarkError
from benchmark.core.pool import Pool
from benchmark.core.seeding import isolated_torch_rng
from methods.inversion.model import Corrector, ZeroStep
from methods.inversion.writer import Writer, own_writer, t5_writer
from methods.language_models.foresight import SHORTEST_ROW

TINY = "tiny"
DESCRIPTION = "inverter.json"
ZERO, CORRECTOR = "zero.safetensors", "corrector.safetensors"
LAYERS, WIDTH, HEADS, INNER = 2, 256, 4, 512


@dataclass(frozen=True)
class Inverter:
    """Zero-step model and corrector for embeddings of `dimension` numbers."""

    zero: ZeroStep
    corrector: Corrector

    @property
    def writer(self) -> Writer:
        """How rows are written."""
        return self.zero.writer

    @property
    def dimension(self) -> int:
        """Numbers of the embeddings that it inverts."""
        return self.zero.dimension

    def save(self, folder: Path) -> None:
        """Write weights, configuration, tokenizer and description."""
        folder.mkdir(parents=True, exist_ok=True)
        with quiet_transformers():
            self.zero.t5.config.save_pretrained(folder)
        self.writer.tokenizer.save_pretrained(folder)
        Weights(folder / ZERO, self.zero).save(0)
        Weights(folder / CORRECTOR, self.corrector).save(0)
        described = {
            "separator": self.writer.separator,
            "n_columns": self.writer.n_columns,
            "max_length": self.writer.max_length,
            "dimension": self.dimension,
            "scale": self.zero.scale,
        }
        (folder / DESCRIPTION).write_text(json.dumps(described))


def new_inverter(
    name: str, pool: Pool, features: np.ndarray, max_length: int, seed: int
) -> Inverter:
    """Make an untrained inverter for a pool and such features as `features`, shape (n, d).

    `name` is a catalogue T5, or `tiny`: a T5 of two layers on either side, 256 wide, about 5
    million weights, with a byte-level BPE vocabulary of at most 4,000 tokens trained on the pool.

    Raises `BenchmarkError` for a length that leaves no room for a text.
    """
    n_columns = len(pool.text_columns)
    if max_length < SHORTEST_ROW * n_columns:
        raise BenchmarkError(
            f"max_length is {max_length} tokens, less than {SHORTEST_ROW} for a text"
        )
    with isolated_torch_rng(seed):
        if name == TINY:
            writer = own_writer(pool, max_length)
            bodies = [_tiny(writer) for _ in range(2)]
        else:
            folder = pool.services.model(name)
            writer = t5_writer(load_tokenizer(folder), n_columns, max_length)
            bodies = [load_seq2seq(folder) for _ in range(2)]
        dimension = features.shape[1]
        length = float(np.linalg.norm(features, axis=1).mean(dtype=np.float64))
        return _assembled(bodies, writer, dimension, dimension**0.5 / max(length, 1e-6))


def load(folder: Path) -> Inverter:
    """Load what `Inverter.save` wrote."""
    from transformers import AutoConfig

    described = json.loads((folder / DESCRIPTION).read_text())
    dimension, scale = described.pop("dimension"), described.pop("scale")
    writer = Writer(load_tokenizer(folder), **described)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with isolated_torch_rng(0):
        made = _assembled([_untrained(config) for _ in range(2)], writer, dimension, scale)
    Weights(folder / ZERO, made.zero).load()
    Weights(folder / CORRECTOR, made.corrector).load()
    made.zero.eval()
    made.corrector.eval()
    return made


@lru_cache(maxsize=1)
def held(folder: Path) -> Inverter:
    """Load an inverter and keep it: a cell asks it for twenty sets. Its weights must not change."""
    return load(folder)


def _assembled(bodies: list[Any], writer: Writer, dimension: int, scale: float) -> Inverter:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    zero, corrector = bodies
    return Inverter(
        ZeroStep(zero, writer, dimension, scale).to(device),
        Corrector(corrector, writer, dimension, scale).to(device),
    )


def _untrained(config: Any) -> Any:
    from transformers import T5ForConditionalGeneration

    with quiet_transformers():
        return T5ForConditionalGeneration(config)


def _tiny(writer: Writer) -> Any:
    """A small T5 from scratch: embeddings of length 1, and outputs that are not scaled down.

    T5's own start, embeddings of length 16 and outputs scaled by a sixteenth, suits its optimiser;
    with AdamW the loss after 200 steps is higher by 0.3 and owes half as much to the embedding.
    """
    from transformers import T5Config

    config = T5Config(
        vocab_size=len(writer.tokenizer),
        d_model=WIDTH,
        d_kv=WIDTH // HEADS,
        d_ff=INNER,
        num_layers=LAYERS,
        num_decoder_layers=LAYERS,
        num_heads=HEADS,
        pad_token_id=writer.pad,
        eos_token_id=writer.eos,
        decoder_start_token_id=writer.pad,
        scale_decoder_outputs=False,
    )
    model = _untrained(config)
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(0, WIDTH**-0.5)
    return model
