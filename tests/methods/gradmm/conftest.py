"""Tiny real models."""

from __future__ import annotations

import pytest
import torch

from benchmark.core import threads
from benchmark.testing import toy_pool
from methods.language_models import tiny


@pytest.fixture(autouse=True)
def _small_and_single(monkeypatch):
    """Tiny matrices gain nothing from threads and lose much where tests share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(threads, "feature_threads", lambda: 1)
    for name, value in (("LAYERS", 2), ("WIDTH", 32), ("HEADS", 2)):
        monkeypatch.setattr(tiny, name, value)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pool():
    return toy_pool(2, per_class=10)
