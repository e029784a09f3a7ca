"""One thread: tiny matrices gain nothing from more."""

from __future__ import annotations

import pytest
import torch

from benchmark.core import threads
from benchmark.testing import toy_pool


@pytest.fixture(autouse=True)
def _single(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(threads, "feature_threads", lambda: 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pool():
    return toy_pool(2, per_class=10)
