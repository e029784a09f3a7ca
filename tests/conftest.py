"""What tests of several folders share; `reference/` has the plain ways to compare with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "reference"))


@pytest.fixture
def bfloat16_here(monkeypatch):
    """Compute bfloat16 in itself, also where a machine would take float32 in its place."""
    from benchmark.core import precision

    monkeypatch.setattr(precision, "has_bfloat16", lambda kind: True)


@pytest.fixture
def one_thread(monkeypatch):
    """Tiny matrices gain nothing from threads and lose much where tests share the cores."""
    import torch

    from benchmark.core import threads

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(threads, "feature_threads", lambda: 1)
    yield
    torch.set_num_threads(before)
