"""One thread: tiny matrices gain nothing from more."""

from __future__ import annotations

import pytest

from benchmark.testing import toy_pool


@pytest.fixture(autouse=True)
def _single(one_thread):
    """All tests here."""


@pytest.fixture
def pool():
    return toy_pool(2, per_class=10)
