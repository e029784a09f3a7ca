"""The page on clusters shows what its script computes from the published rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_costs_on_the_page_are_those_of_the_rows() -> None:
    command = [sys.executable, str(ROOT / "docs" / "cluster_cost.py")]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- python docs/cluster_cost.py -->")[2].partition("<!-- end -->")[0]
    assert shown.strip() == told.strip()


def test_more_gpus_are_never_slower_and_twice_the_speed_is_half_the_time() -> None:
    command = [sys.executable, str(ROOT / "docs" / "cluster_cost.py"), "--speed-up"]

    def hours(speed_up: str) -> list[float]:
        told = subprocess.run([*command, speed_up], capture_output=True, text=True, cwd=ROOT)
        lines = [line.split("|") for line in told.stdout.splitlines() if line.startswith("| ")]
        return [float(cells[2]) for cells in lines[1:]]

    slow, fast = hours("1"), hours("2")
    assert slow == sorted(slow, reverse=True)
    assert all(abs(a - 2 * b) < 0.15 for a, b in zip(slow, fast, strict=True))
