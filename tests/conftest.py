"""Modules in `reference/` are the plain ways that tests of several folders compare with."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "reference"))
