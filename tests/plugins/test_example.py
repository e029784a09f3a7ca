"""A third-party package, installed as its users would, is listed, run and ranked like the rest."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "example"
REPOSITORY = Path(__file__).parents[2]


def python(site: Path, place: Path, *words: str | Path) -> str:
    """Run Python with the folder `site` of installed packages; returns what it printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "BENCHMARK"))}
    ended = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=place,
        env={**kept, "PYTHONPATH": os.pathsep.join(map(str, (site, REPOSITORY)))},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the package, without network."""
    root = tmp_path_factory.mktemp("example")
    source = shutil.copytree(EXAMPLE, root / "source")  # the build leaves traces there
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "-q"]
    python(root, root, "-m", "pip", "install", *flags, "--target", root / "site", source)
    return root / "site"


def test_all_three_are_listed(site: Path, tmp_path: Path) -> None:
    expected = {"methods": "common-words", "learners": "word-centroids", "tasks": "notices"}
    for kind, name in expected.items():
        told = python(site, tmp_path, "-m", "benchmark", "list", kind, "--json")
        assert name in {line["name"] for line in json.loads(told)}


def test_the_method_passes_the_conformance_suite(site: Path, tmp_path: Path) -> None:
    told = python(site, tmp_path, "-m", "benchmark", "check", "common-words")
    assert "adapter: `example_distillation.common_words, line " in told
    assert "15 passed, 0 failed, 1 skipped" in told


def test_a_run_ends_in_a_leaderboard(site: Path, tmp_path: Path) -> None:
    benchmark = (site, tmp_path, "-m", "benchmark")
    ran = python(*benchmark, "run", "--suite", "notices", "--offline")
    assert "4 cells done" in ran
    assert "common-words" in ran
    python(*benchmark, "leaderboard", "--suite", "notices", "--format", "csv", "--out", "out")
    with (tmp_path / "out" / "notices.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    cells = {(line["method"], line["learner"]): line for line in lines}
    assert len(cells) == len(lines) == 4
    for (_, learner), line in cells.items():
        assert line["status"] == "ok"
        assert (line["n_sets"], line["n_runs"]) == ("3", "3")
        assert float(line["mean"]) > 0.4, (learner, line)  # guessing gives a third
    again = python(*benchmark, "run", "--suite", "notices", "--offline")
    assert "0 sets distilled, 0 trainings" in again
