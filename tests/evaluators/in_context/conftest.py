"""Tiny language models for all tests here, one thread, and helpers that can be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("in_context_runs")


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """All tests here."""


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    from tiny_language_models import FAMILIES, save_tiny

    return {name: save_tiny(name, tmp_path_factory.mktemp(name)) for name in FAMILIES}
