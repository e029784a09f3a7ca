"""What a generator cannot do is said before any work."""

from __future__ import annotations

import json

import pytest

from benchmark.core.method import METHODS, Budget
from benchmark.core.outline import Outline

GPT2 = {"architectures": ["GPT2LMHeadModel"], "n_positions": 64}
LLAMA = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 64}
BERT = {"architectures": ["BertModel"], "max_position_embeddings": 512}


@pytest.mark.parametrize(
    ("config", "max_length", "message"),
    [
        (GPT2, 0, ""),
        (GPT2, 64, ""),
        (GPT2, 65, "max_length is 65, and it reads at most 64 tokens"),
        (LLAMA, 64, ""),
        (LLAMA, 65, "at most 64 tokens"),
        (BERT, 0, "it is a BertModel, no causal language model"),
        (GPT2, 7, "max_length is 7, which leaves no room for text: 8 or more"),
        ({}, 5_000, ""),  # a model whose files say nothing is not judged
        (None, 5_000, ""),
        ([], 5_000, ""),
    ],
)
def test_of_a_pretrained_generator(tmp_path, config, max_length, message):
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    outline = Outline((10, 10), models={"it": tmp_path})
    for name in ("vanilla-lm", "dilm"):
        method = METHODS.build(name, {"generator": "it", "max_length": max_length})
        told = method.refuses(outline, Budget((5, 5)))
        assert message in told
        assert bool(told) == bool(message)
        if told:
            assert f"--set {name}.generator" in told


def test_of_the_generator_from_scratch():
    build = lambda length: METHODS.build("vanilla-lm-cpu", {"max_length": length})  # noqa: E731
    outline, budget = Outline((10, 10)), Budget((5, 5))
    assert build(512).refuses(outline, budget) == ""
    assert "reads at most 512 tokens" in build(513).refuses(outline, budget)


def test_a_crossing_refuses_what_its_generator_would():
    outline = Outline((10, 10))
    settings = {"settings": ("max_length=3",)}
    told = METHODS.build("vanilla-lm-cpu+herding", settings).refuses(outline, Budget((5, 5)))
    assert "leaves no room" in told
    # The generator is asked for the rows that it is to write, not for those that are kept.
    efforts = [
        METHODS.build("vanilla-lm-cpu+herding", {"oversample": times}).effort(
            outline, Budget((5, 5))
        )
        for times in (1, 100)
    ]
    alone = METHODS.build("vanilla-lm-cpu").effort(outline, Budget((500, 500)))
    assert efforts[0] <= efforts[1] == alone
