"""Packed likelihoods are those of each row alone, for every family of models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
)

from benchmark.core.seeding import isolated_torch_rng, numpy_generator
from methods.language_models import likelihood as module
from methods.language_models.likelihood import likelihood, packs

SIZE = 50
MODELS = {
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=SIZE, n_positions=40, n_embd=16, n_layer=2, n_head=2)
    ),
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=SIZE, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=40,
        )
    ),
    "opt": lambda: OPTForCausalLM(
        OPTConfig(
            vocab_size=SIZE, hidden_size=16, ffn_dim=24, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=40, word_embed_proj_dim=16,
        )
    ),
    "bloom": lambda: BloomForCausalLM(
        BloomConfig(vocab_size=SIZE, hidden_size=16, n_layer=2, n_head=2)
    ),
}  # fmt: skip


def make(name):
    with isolated_torch_rng(3):
        model = MODELS[name]().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def random_rows(n=9):
    rng = numpy_generator(2)
    return [rng.integers(0, SIZE, rng.integers(3, 30)) for _ in range(n)]


def alone(model, row):
    logits = model(input_ids=torch.from_numpy(row[None])).logits[0]
    losses = torch.nn.functional.cross_entropy(
        logits[:-1], torch.from_numpy(row[1:]), reduction="sum"
    )
    return losses


@pytest.mark.parametrize("name", MODELS)
def test_packed_rows_do_not_see_each_other(name, monkeypatch):
    monkeypatch.setattr(module, "LINE", 40)
    model, rows = make(name), random_rows()
    found = likelihood(model, rows, "float32")
    expected = torch.stack([alone(model, row) for row in rows])
    torch.testing.assert_close(found.nll, expected, atol=1e-4, rtol=1e-5)
    assert found.tokens.tolist() == [len(row) - 1 for row in rows]
    found.per_token.mean().backward()
    packed = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    lengths = torch.tensor([len(row) - 1 for row in rows])
    (torch.stack([alone(model, row) for row in rows]) / lengths).mean().backward()
    for mine, parameter in zip(packed, model.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad, atol=1e-5, rtol=1e-4)


def test_models_that_pack_are_told_from_those_that_do_not():
    assert packs(make("gpt2"))
    assert packs(make("llama"))
    assert not packs(make("bloom"))


def test_little_of_a_line_is_padding():
    rows = [np.ones(n, dtype=np.int64) for n in numpy_generator(0).integers(5, 30, 64)]
    lines = module._lay(rows, module.LINE)
    assert sum(map(len, rows)) > 0.8 * lines.ids.size
