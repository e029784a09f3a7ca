"""LoRA on a T5 against training all of its weights, in one run: what table 4 of DaLLME reports.

The model has the shape of t5-small (60 million weights) and random weights, as time does not
depend on them; rows have 64 tokens. One thread and CPU seconds, so that other work on the machine
counts for little.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft", reason="the extra `peft` is not installed: pip install -e '.[peft]'")

from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng, numpy_generator  # noqa: E402
from evaluators.text_to_text.training import Namer, train_and_score  # noqa: E402

pytestmark = pytest.mark.performance

ROWS, TOKENS, STEPS, ROUNDS = 16, 64, 4, 2
RANKS = (0, 8, 16)
FLOOR = 1.15  # measured: 1.45 to 1.53


@pytest.fixture(scope="module")
def namer():
    """A T5 of t5-small's shape; the names of two classes are a token each."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=32_128, d_model=512, d_kv=64, d_ff=2_048, num_layers=6, num_heads=8,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    with isolated_torch_rng(1):
        model = T5ForConditionalGeneration(config)
    return Namer(model, SimpleNamespace(pad_token_id=0), ((5, 1), (6, 1)), TOKENS)


def cpu_seconds(namer: Namer, rank: int, rows: list[np.ndarray]) -> float:
    recipe = Recipe(steps=STEPS, learning_rate=1e-4, batch_size=ROWS)
    labels = np.arange(len(rows)) % 2
    begun = time.process_time()
    made = train_and_score(namer, recipe, rows, labels, rows[:1], 1, rank)
    assert not made.error
    return time.process_time() - begun


def test_low_rank_updates_take_less_time(namer, one_thread) -> None:
    rng = numpy_generator(3)
    rows = [np.append(rng.integers(2, 32_000, TOKENS - 1), 1) for _ in range(ROWS)]
    cpu_seconds(namer, 8, rows)  # imports and first use
    taken = {rank: [] for rank in RANKS}
    for _ in range(ROUNDS):
        for rank in RANKS:
            taken[rank].append(cpu_seconds(namer, rank, rows))
    best = {rank: min(seconds) for rank, seconds in taken.items()}
    print(f"\nT5, {ROWS} rows of {TOKENS} tokens, {STEPS} steps, CPU seconds")
    for rank, seconds in best.items():
        name = f"LoRA, rank {rank}" if rank else "all weights"
        print(f"  {name:<16}{seconds:7.2f}   ratio {best[0] / seconds:.2f}")
    assert min(best[0] / best[rank] for rank in RANKS[1:]) > FLOOR
