"""A page of 200,000 rows: the time grows as the rows do, and the memory stays small.

`python -m pytest -m performance -s tests/performance/test_leaderboard_speed.py` prints the figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from leaderboards import merge
from tests.leaderboards.conftest import synthetic_rows

METHODS = {
    "random": -0.05, "k-centers": 0.0, "herding": 0.01, "dilm": 0.02, "tdd": 0.03, "dallme": -0.01,
    "eda": 0.0, "submodular": 0.01,
}  # fmt: skip
LEARNERS = ("tfidf-lr", "tfidf-nb", "probe", "minilm")
ROWS_OF_A_TASK = 9_620
MEMORY_MB = 2_000

RENDER = """
import json, resource, sys, time
from pathlib import Path
from leaderboards import render_published
begun = time.perf_counter()
render_published(Path(sys.argv[1]), Path(sys.argv[2]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": time.perf_counter() - begun, "megabytes": peak}))
"""


def rendered(folder: Path, tasks: int) -> dict[str, float]:
    """Render a suite of so many tasks in a process of its own; the page must name them all."""
    names = [f"task-{number:02d}" for number in range(tasks)]
    rows = synthetic_rows(tasks=names, methods=METHODS, learners=LEARNERS)
    assert len(rows) == tasks * ROWS_OF_A_TASK
    results = folder / str(tasks) / "toy.parquet"
    merge(results, rows)
    command = [sys.executable, "-c", RENDER, str(results), str(folder / f"pages-{tasks}")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    page = (folder / f"pages-{tasks}" / "toy.md").read_text()
    assert all(name in page for name in names)
    return json.loads(ended.stdout)


@pytest.mark.performance
def test_two_hundred_thousand_rows(tmp_path: Path) -> None:
    small, large = (rendered(tmp_path, tasks) for tasks in (7, 21))
    growth = large["seconds"] / small["seconds"]
    print(
        f"\n{21 * ROWS_OF_A_TASK:,} rows: {large['seconds']:.1f} s, {large['megabytes']:.0f} MB; "
        f"a third of them: {small['seconds']:.1f} s; {growth:.2f} times"
    )
    assert growth < 3.3
    assert large["megabytes"] < MEMORY_MB
