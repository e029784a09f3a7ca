"""A tiny real classifier whose training is unrolled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.core.finetune.embedded import EmbeddedClassifier, EmbeddedRows
from benchmark.core.finetune.pretrained import held
from benchmark.core.seeding import isolated_torch_rng
from benchmark.testing import toy_pool
from methods.bilevel.beginning import first_values, transformer_source
from methods.bilevel.learnable import Layout
from methods.tdd import TDD


@pytest.fixture(autouse=True)
def _single(one_thread):
    """All tests here."""


@pytest.fixture
def pool():
    return toy_pool(2, per_class=10)


@pytest.fixture
def method():
    """Build TDD with toy parameters and others."""
    return lambda cls=TDD, **params: cls(**{**cls.toy, **params})


@pytest.fixture
def begun(pool, method):
    """Source and learnable of a method, for so many rows a class."""

    def begin(per_class=(2, 2), cls=TDD, length=5, **params):
        of = method(cls, length=length, **params)
        source = transformer_source(of, pool)
        layout = Layout(per_class, of.passes)
        rng = np.random.default_rng(0)
        return source, first_values(of, source, pool, layout, length, rng)

    return begin


@pytest.fixture
def double(pool):
    """The toy classifier in float64 with weights far from their small start: (loss, weights)."""
    folder = pool.services.model("minilm")
    pretrained = held(folder, 2)
    classifier = EmbeddedClassifier(pretrained.model)
    with isolated_torch_rng(3):
        pretrained.reset()
        weights = {
            name: (w + 0.1 * torch.randn_like(w)).double() for name, w in classifier.start().items()
        }
    pretrained.model.eval()

    def loss(weights, rows: EmbeddedRows) -> torch.Tensor:
        from torch.func import functional_call

        asked = rows.attention is not None
        config = classifier.model.config
        before, config._attn_implementation = config._attn_implementation, "eager"
        try:
            out = functional_call(
                classifier.model, dict(weights),
                kwargs={"inputs_embeds": rows.embeddings, "output_attentions": asked},
            )  # fmt: skip
        finally:
            config._attn_implementation = before
        value = -(rows.targets * out.logits.log_softmax(1)).sum(1).mean()
        if asked:
            found = torch.stack(out.attentions, 1)[:, :, :, : rows.attention.shape[3]]
            value = value + (rows.attention * (rows.attention / found).log()).sum(-1).mean()
        return value

    return loss, weights
