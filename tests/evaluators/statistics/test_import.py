"""Importing the statistics loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys


def test_importing_is_cheap():
    code = (
        "import sys, evaluators.statistics;"
        "print([m for m in ('scipy.stats', 'statsmodels', 'pandas') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert loaded.stdout.strip() == "[]", loaded.stderr
