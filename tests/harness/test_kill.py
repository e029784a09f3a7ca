"""Whatever ends a run, and whenever: the same command finishes it, and the rows are the same."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

KILLS = 10
FLAGS = ["--suite", "toy", "--methods", "random,herding,first", "--learners", "tfidf-lr,coin"]


@pytest.fixture
def start(environment):
    """Start the command line as a process and leave it running."""
    started: list[subprocess.Popen] = []

    def begin(*args: str | Path, **more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "benchmark", *map(str, args)]
        child = subprocess.Popen(
            command,
            env={**environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A suite that was started in the background ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        started.append(child)
        return child

    yield begin
    for child in started:
        if child.poll() is None:
            child.kill()
            child.wait()


def wait_for(path: Path, table: str, at_least: int, child: subprocess.Popen) -> None:
    """Wait until a table of the store has so many rows."""
    while child.poll() is None:
        if count(path, table) >= at_least:
            return
        time.sleep(0.02)
    raise AssertionError(child.communicate()[0])


def count(store: Path, table: str) -> int:
    """Lines of a table; -1 where there is none yet."""
    try:
        database = sqlite3.connect(f"file:{store / 'rows.sqlite'}?mode=ro", uri=True)
        return database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
    except sqlite3.OperationalError:
        return -1


def mlflow_runs(store: Path) -> list:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store}/mlflow.db")
    experiment = client.get_experiment_by_name("text-distillation/toy")
    return list(client.search_runs([experiment.experiment_id], max_results=5000))


def test_ten_kills_and_a_resume_give_the_undisturbed_rows(
    world, tmp_path, cli, process, start, rows_in, mlflow_database
) -> None:
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    assert cli("run", *FLAGS, *world.flags(calm)).code == 0
    rng = np.random.default_rng(7)
    moments = []
    for number in range(KILLS):
        child = start("run", *FLAGS, *world.flags(rough), TOY_NAP="0.06")
        if number < 2:  # into the start: reading, planning, encoding
            time.sleep(rng.uniform(0.5, 1.5))
        elif number < 6:  # into the work, while MLflow makes its database
            wait_for(rough, "rows", moments[-1] + int(rng.integers(0, 7)), child)
        else:  # into MLflow's being told
            if not (rough / "mlflow.db").exists():
                shutil.copy(mlflow_database, rough / "mlflow.db")
            wait_for(rough, "mirror", count(rough, "mirror") + int(rng.integers(0, 12)), child)
        time.sleep(rng.uniform(0, 0.1))
        child.kill()
        child.communicate()
        assert child.returncode == -signal.SIGKILL, "it was done before the kill"
        moments.append(max(0, count(rough, "rows")))
    assert moments == sorted(moments), "a kill lost rows that were written"
    assert len(set(moments)) > 3, "the kills all fell into the same place"
    resumed = process("run", *FLAGS, *world.flags(rough))
    assert resumed.code == 0, resumed.err
    pd.testing.assert_frame_equal(rows_in(rough), rows_in(calm))
    left = [path for path in rough.rglob(".*") if path.is_dir() and path.parent.name != "sets"]
    assert not [path for path in left if not path.name.endswith("lock")]
    runs = mlflow_runs(rough)
    sent = [run.data.tags["run_key"] for run in runs if "run_key" in run.data.tags]
    assert sorted(sent) == sorted(set(rows_in(rough).run_key)), "each training exactly once"
    parents = [run.data.tags["cell_key"] for run in runs if "cell_key" in run.data.tags]
    assert len(parents) == len(set(parents)) == 24
    assert all(run.info.status == "FINISHED" for run in runs)


@pytest.mark.survive
@pytest.mark.parametrize("seed", range(5))
def test_ten_kills_at_any_instant(world, tmp_path, cli, start, rows_in, seed) -> None:
    """Fifty kills in all, anywhere between the first import and the last report."""
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    flags = ["run", *FLAGS, "--workers", str(1 + seed % 2)]
    begun = time.monotonic()
    assert cli("run", *FLAGS, *world.flags(calm)).code == 0
    longest = 2 * (time.monotonic() - begun) + 6  # a process of its own imports everything first
    rng = np.random.default_rng(seed)
    kills = written = 0
    while kills < KILLS:
        child = start(*flags, *world.flags(rough), TOY_NAP="0.1")
        try:
            told, _ = child.communicate(timeout=rng.uniform(0, longest))
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            kills += 1
            left = max(0, count(rough, "rows"))  # no store yet, where the first kill came early
            assert left >= written, "a kill lost rows that were written"
            written = left
        else:
            assert child.returncode == 0, told
            pd.testing.assert_frame_equal(rows_in(rough), rows_in(calm))
            shutil.rmtree(rough)
            written = 0
    assert cli(*flags, *world.flags(rough)).code == 0
    pd.testing.assert_frame_equal(rows_in(rough), rows_in(calm))


def test_a_second_run_on_the_store_waits_and_nothing_is_lost(
    world, tmp_path, cli, start, rows_in
) -> None:
    store, calm = tmp_path / "shared", tmp_path / "calm"
    more = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    flags = ["--suite", "toy", "--methods", "random,first", "--learners", "coin"]
    first = start("run", *flags, *world.flags(store), TOY_NAP="0.05", **more)
    wait_for(store, "runs", 1, first)
    second = start("run", *flags, "--dpc", "2,8", *world.flags(store), **more)
    out_first, out_second = first.communicate()[0], second.communicate()[0]
    assert first.returncode == second.returncode == 0, out_first + out_second
    assert "another run holds" in out_second
    assert "the rows are safe" in out_first  # MLflow was not there
    for dpc in ("2,4", "2,8"):
        assert cli("run", *flags, "--dpc", dpc, *world.flags(calm)).code == 0
    pd.testing.assert_frame_equal(rows_in(store), rows_in(calm))


def test_control_c_stops_with_a_sentence_and_workers_end_too(world, tmp_path, start) -> None:
    store = tmp_path / "stopped"
    flags = ["--suite", "toy", "--methods", "random", "--learners", "coin", "--workers", "2"]
    more = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "TOY_NAP": "2"}
    child = start("run", *flags, *world.flags(store), **more)
    wait_for(store, "runs", 2, child)
    child.send_signal(signal.SIGINT)
    told, _ = child.communicate(timeout=30)
    assert child.returncode == 130, told
    assert "error: stopped; what is finished is kept, the same command does the rest" in told
    assert "Traceback" not in told


def test_workers_do_not_outlive_a_killed_driver(world, tmp_path, start) -> None:
    store = tmp_path / "orphans"
    flags = ["--suite", "toy", "--methods", "hanging", "--learners", "coin", "--timeout", "300"]
    child = start("run", *flags, *world.flags(store), MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    deadline = time.monotonic() + 30
    while not (workers := children(child.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers
    child.kill()
    child.wait()
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in workers)


def children(pid: int) -> list[int]:
    """Worker processes of a driver."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(text) for text in task.read_text().split()]
    return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
