"""What the harness itself costs: keys, store and MLflow, over 2,000 trainings that differ."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.background import BackgroundMirror
from benchmark.core.keys import sha256_file
from benchmark.core.library import Library, LibraryConfig
from benchmark.executors import Limits, choose_local
from benchmark.plan import Options, make_plan
from benchmark.runner import Runner
from benchmark.store import Store
from benchmark.tracking import Mirror
from benchmark.tracking_server import tracking_uri

pytestmark = pytest.mark.performance

TASK = """
[task.toy]
dataset = "toy"
text = ["text"]
label = "label"
classes = ["a", "b"]
[suite.toy]
tasks = ["toy"]
methods = ["random"]
learners = ["tfidf-lr"]
"""
SETS = 667  # x 3 DPC: 2,001 trainings, no two of them alike


class Silent:
    def stage(self, words: str, total: int) -> None: ...
    def advance(self, words: str) -> None: ...
    def note(self, words: str) -> None: ...


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LibraryConfig:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(500)]
    folder = tmp_path / "assets" / "datasets" / "toy" / "default"
    folder.mkdir(parents=True)
    manifest = {}
    for split, rows in (("train", 2000), ("test", 200)):
        texts = [" ".join(rng.choice(words, 10)) for _ in range(rows)]
        path = folder / f"{split}.parquet"
        pd.DataFrame({"text": texts, "label": np.arange(rows) % 2}).to_parquet(path)
        manifest[f"toy/default/{split}.parquet"] = {"sha256": sha256_file(path)}
    (tmp_path / "assets" / "datasets" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "tasks.toml").write_text(TASK)
    return LibraryConfig(tmp_path / "store", tmp_path / "assets", True, (tmp_path / "tasks.toml",))


def test_at_most_60_ms_a_run(config: LibraryConfig) -> None:
    library = Library(config)
    options = Options("toy", sets=SETS, seeds=1)
    Mirror(Store(config.store), tracking_uri(config.store)).sync()  # makes MLflow's database once
    started = time.perf_counter()
    store = Store(config.store)
    runner = Runner(store, choose_local(config, library, 1, Limits()), Silent())
    with BackgroundMirror(config.store) as mirror:
        summary = runner.run(make_plan(options, library))
        rows_done = time.perf_counter() - started
    wall = time.perf_counter() - started
    assert not mirror.failure
    assert summary.trained == 3 * SETS
    found = store.database.execute("SELECT costs FROM runs").fetchall()
    costs = [json.loads(row[0]) for row in found]
    work = sum(cost["train_seconds"] + cost["predict_seconds"] for cost in costs)
    work += sum(record.facts["distil_seconds"] for record in store.sets().values())
    per_run = 1000 * (wall - work) / len(costs)
    without = 1000 * (rows_done - work) / len(costs)
    print(
        f"\n{len(costs)} runs in {wall:.1f} s, of which distillation and training {work:.1f} s; "
        f"the harness: {per_run:.1f} ms a run ({without:.1f} ms until the rows were written, "
        "the rest is MLflow catching up)"
    )
    assert per_run <= 60
