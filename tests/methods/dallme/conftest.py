"""Small real inverters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest

from benchmark.core.assets import quiet_transformers
from benchmark.core.seeding import isolated_torch_rng
from benchmark.testing import toy_pool
from methods.inversion import fidelity, inverter
from methods.inversion.model import Corrector


class Shown(NamedTuple):
    """A batch that a corrector was given."""

    targets: np.ndarray
    features: np.ndarray
    ids: Sequence[np.ndarray]


def record_inputs(monkeypatch: pytest.MonkeyPatch) -> list[Shown]:
    """Keep every batch that correctors are given from now on."""
    shown: list[Shown] = []
    inputs = Corrector.inputs

    def recorded(self, targets, features, hypotheses):
        shown.append(Shown(targets.numpy(), features.numpy(), hypotheses))
        return inputs(self, targets, features, hypotheses)

    monkeypatch.setattr(Corrector, "inputs", recorded)
    return shown


@pytest.fixture(autouse=True)
def _small_and_single(one_thread, monkeypatch):
    for name, value in (("LAYERS", 1), ("WIDTH", 32), ("HEADS", 2), ("INNER", 48)):
        monkeypatch.setattr(inverter, name, value)
    monkeypatch.setattr(fidelity, "STEPS", (0, 1))
    inverter.held.cache_clear()


@pytest.fixture
def pool():
    return toy_pool(2, per_class=12)


@pytest.fixture
def pairs():
    return toy_pool(2, per_class=8, pair=True)


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory):
    """A folder with a T5 of one layer and a tokenizer of its own, as the hub has them."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("tiny-t5")
    texts = [text for column in toy_pool(2).texts().values() for text in column]
    words = sorted({word for text in texts for word in text.split()})
    special = ["<pad>", "</s>", "<unk>", "<extra_id_0>"]
    vocabulary = {word: i for i, word in enumerate([*special, *words])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<extra_id_0>"],
    )
    config = T5Config(
        vocab_size=len(vocabulary) + 3,  # as T5's, whose embedding has more rows than words
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=1,
        num_heads=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    with isolated_torch_rng(1), quiet_transformers():
        T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
