"""Sampling draws from the nucleus and nothing else, and the cache changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import torch_generator
from methods.language_models import sampling
from methods.language_models.sampling import Sampler, nucleus, sample_texts
from methods.language_models.tiny import tiny_generator


@pytest.mark.parametrize("top_p", [0.3, 0.7, 0.95, 1.0])
def test_frequencies_are_those_of_the_nucleus(top_p):
    p = torch.tensor([0.05, 0.4, 0.02, 0.3, 0.2, 0.03])
    order = p.argsort(descending=True)
    before = p[order].cumsum(0) - p[order]
    inside = torch.zeros(6)
    inside[order[before < top_p]] = p[order[before < top_p]]
    expected = inside / inside.sum()
    drawn = nucleus(p.repeat(20_000, 1), top_p, torch_generator(1))
    found = torch.bincount(drawn, minlength=6) / len(drawn)
    assert (found[expected == 0] == 0).all()
    torch.testing.assert_close(found, expected, atol=0.015, rtol=0)


def test_the_likeliest_sequence_is_that_of_the_library(generator):
    """With a nucleus of one token, cache and all equal transformers' greedy search."""
    s = generator.serialiser
    sampled = Sampler(generator, 1e-9, "float32").sample(1, 3, torch_generator(0))
    greedy = generator.model.generate(
        torch.tensor([[s.start(1)]]), attention_mask=torch.ones(1, 1, dtype=torch.long),
        max_length=s.max_length, do_sample=False, pad_token_id=s.eos, eos_token_id=s.eos,
        suppress_tokens=s.forbidden,
    )[0, 1:].numpy()  # fmt: skip
    end = int(np.argmax(greedy == s.eos)) if (greedy == s.eos).any() else len(greedy)
    assert all(row.tolist() == greedy[:end].tolist() for row in sampled)


def test_dropping_finished_rows_leaves_the_others_as_they_are(generator, monkeypatch):
    """Rows of a batch end at different steps; what was sampled must be likely to the model."""
    monkeypatch.setattr(sampling, "COMPACT_BELOW", 1.1)
    s = generator.serialiser
    rows = Sampler(generator, 0.8, "float32").sample(0, 200, torch_generator(2))
    for row in rows:
        ids = torch.tensor([[s.start(0), *row]])
        logits = generator.model(input_ids=ids).logits[0, :-1]
        logits[:, s.forbidden] = -torch.inf
        p = logits.softmax(1)
        chosen = p.gather(1, torch.tensor(row)[:, None])
        above = torch.where(p > chosen + 1e-6, p, 0.0).sum(1)
        assert (above < 0.8 + 1e-4).all()
    assert len({len(row) for row in rows}) > 1


def test_the_seed_decides_and_no_class_token_appears(generator):
    first, again, other = (sample_texts(generator, 0, 30, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert all(text.strip() for (text,) in first)


def test_rows_that_stay_malformed_are_an_error(pairs, monkeypatch):
    generator = tiny_generator(pairs, seed=0)
    with torch.no_grad():
        generator.model.get_input_embeddings().weight[generator.serialiser.separator] = 0
        generator.model.transformer.ln_f.bias.fill_(0)
    monkeypatch.setattr(sampling, "TRIES", 2)
    monkeypatch.setattr(type(generator.serialiser), "decode", lambda self, ids: None)
    with pytest.raises(BenchmarkError, match="0 well-formed rows of class 2 in 2 tries, 5 were"):
        sample_texts(generator, 2, 5, seed=0)
