"""What the published pages ran on is in the repository: as a built-in suite or in suites.toml."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.catalogue import Catalogue

ROOT = Path(__file__).parents[2] / "leaderboards"
RESULTS = sorted((ROOT / "results").glob("*.parquet"))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load((ROOT / "suites.toml",))


@pytest.mark.parametrize("results", RESULTS, ids=lambda path: path.stem)
def test_a_published_suite_can_be_run_from_the_repository(catalogue, results) -> None:
    suite = catalogue.suite(results.stem)
    found = set(pd.read_parquet(results, columns=["task"]).task)
    assert found <= set(suite.tasks)
    for task in found:
        catalogue.task(task)
