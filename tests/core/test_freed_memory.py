"""Memory that a process has freed leaves it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmark.core.freed_memory import _trim, give_back

MEASURE = """
from benchmark.core.freed_memory import give_back
def resident():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmRSS"))
pieces = [bytearray(b"x" * 60_000) for _ in range(4_000)]
kept = pieces[::40]  # what lies between the holes
del pieces
before = resident()
give_back()
print(before - resident())
"""


@pytest.mark.skipif(_trim() is None, reason="this C library cannot give memory back")
def test_holes_between_what_is_kept_are_given_back() -> None:
    told = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) > 150_000  # kB, of 234,000 freed


def test_another_c_library_is_no_error(monkeypatch) -> None:
    monkeypatch.setattr("benchmark.core.freed_memory._trim", lambda: None)
    give_back()
