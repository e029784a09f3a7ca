"""What a generator cannot do is said before any work."""

from __future__ import annotations

import json

import pytest

from benchmark.core.method import METHODS, Budget, Generator, register
from benchmark.core.outline import Need, Outline

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


@register("toy-frugal")
class Frugal(Generator):
    """Writes at most twenty rows of a class."""

    def generate(self, pool, label, size, rng, state):
        return {"text": ["a row"] * size}

    def refuses(self, outline, budget):
        return "too many rows" if max(budget.per_class) > 20 else ""

    def effort(self, outline, budget):
        return float(budget.total)

    def need(self, outline, budget):
        return Need(8.0 * budget.total)


def test_a_crossing_asks_its_generator_for_the_rows_that_are_written() -> None:
    outline, five = Outline((10, 10)), Budget((5, 5))
    thrice, often = (METHODS.build("toy-frugal+random", {"oversample": times}) for times in (3, 5))
    assert thrice.refuses(outline, five) == ""
    assert often.refuses(outline, five) == "too many rows"
    assert (thrice.effort(outline, five), often.effort(outline, five)) == (30.0, 50.0)
    assert thrice.need(outline, five).bytes == 8 * 30
    settings = {"settings": ("max_length=3",)}
    told = METHODS.build("vanilla-lm-cpu+herding", settings).refuses(outline, five)
    assert "leaves no room" in told
