"""Small real generators and learners."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.core.seeding import isolated_torch_rng
from benchmark.testing import toy_pool
from methods.language_models import label_agreement, tiny
from methods.language_models.tiny import tiny_generator


@pytest.fixture(autouse=True)
def _small_and_single(one_thread, monkeypatch):
    for name, value in (("LAYERS", 2), ("WIDTH", 32), ("HEADS", 2)):
        monkeypatch.setattr(tiny, name, value)
    monkeypatch.setattr(label_agreement, "ROWS", 4)


@pytest.fixture
def pool():
    return toy_pool(2, per_class=10)


@pytest.fixture
def pairs():
    return toy_pool(3, per_class=8, pair=True)


@pytest.fixture
def generator(pool):
    return sharpened(tiny_generator(pool, seed=1))


def sharpened(generator):
    """Move weights far from their small start, so that mistakes show."""
    with isolated_torch_rng(5), torch.no_grad():
        for parameter in generator.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    generator.model.eval()
    return generator


def rows_of(generator, pool) -> list[np.ndarray]:
    return generator.serialiser.encode(pool.texts(), pool.labels)
