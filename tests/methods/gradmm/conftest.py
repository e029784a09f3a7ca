"""Tiny real models."""

from __future__ import annotations

import pytest

from benchmark.testing import toy_pool
from methods.language_models import tiny


@pytest.fixture(autouse=True)
def _small_and_single(one_thread, monkeypatch):
    for name, value in (("LAYERS", 2), ("WIDTH", 32), ("HEADS", 2)):
        monkeypatch.setattr(tiny, name, value)


@pytest.fixture
def pool():
    return toy_pool(2, per_class=10)
