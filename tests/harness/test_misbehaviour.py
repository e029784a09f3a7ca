"""Adapters that reach beyond what is theirs: the rows of all others are those of a calm run."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from benchmark.store import Store

CORNER = ["--suite", "toy", "--tasks-only", "mood", "--dpc", "2"]
OTHERS = "task == 'mood' and dpc == '2' and method in ('random', 'k-centers')"


def assert_same(rows: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Rows agree; a column may be of floats because of another cell that has no number in it."""
    pd.testing.assert_frame_equal(
        rows.reset_index(drop=True), expected.reset_index(drop=True), check_dtype=False
    )


@pytest.fixture
def calm(finished, rows_in) -> pd.DataFrame:
    """Rows of the neighbours as they are when nobody misbehaves."""
    return rows_in(finished).query(OTHERS)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("labels", "ValueError: assignment destination is read-only (at toy_plugin.py"),
        ("indices", "ValueError: assignment destination is read-only (at toy_plugin.py"),
        ("features", ""),  # those of a class are a copy, which it may change
        ("texts", ""),
        ("unlocked labels", ""),
    ],
)
def test_a_method_that_changes_its_pool(world, tmp_path, cli, rows_in, calm, what, reason) -> None:
    flags = [*CORNER, "--methods", "vandal,random,k-centers", "--learners", "tfidf-lr"]
    told = cli("run", *flags, "--set", f"vandal.what={what}", *world.flags(tmp_path))
    assert told.code == (1 if reason else 0), told.err
    assert reason in told.out
    rows = rows_in(tmp_path)
    assert_same(rows.query(OTHERS), calm.query("learner == 'tfidf-lr'"))
    assert set(rows[rows.method == "vandal"].status) == {"failed" if reason else "ok"}


def test_global_generators_are_nobodys(world, tmp_path, cli, rows_in, calm) -> None:
    flags = [*CORNER, "--methods", "reseeding,random,k-centers"]
    flags += ["--learners", "vandal,tfidf-lr,tiny-bert"]
    told = cli("run", *flags, *world.flags(tmp_path))
    assert told.code == 0, told.err
    assert_same(rows_in(tmp_path).query(OTHERS + " and learner != 'vandal'"), calm)


@pytest.mark.parametrize(
    ("learner", "limit", "done", "reason"),
    [
        ("falling-asleep", ["--timeout", "4"], (2, 2), "stopped after 4 s (--timeout)"),
        ("leaking", ["--memory", "0.8"], (0, 3), "stopped for using more than 0.8 GB (--memory)"),
    ],
)
def test_a_learner_that_is_stopped_keeps_what_it_had_finished(
    world, tmp_path, cli, rows_in, learner, limit, done, reason
) -> None:
    flags = ["--sets", "2", "--seeds", "2", "--methods", "random", *limit]
    told = cli("run", *CORNER, *flags, "--learners", f"{learner},coin", *world.flags(tmp_path))
    assert told.code == 1
    assert reason in told.out
    rows = rows_in(tmp_path)
    least, most = done
    assert least <= (rows[rows.learner == learner].status == "ok").sum() <= most
    assert set(rows[rows.learner == "coin"].status) == {"ok"}


@pytest.mark.parametrize(
    ("what", "limit", "reason"),
    [
        ("child", ["--timeout", "4"], "stopped after 4 s (--timeout)"),
        ("leaver", ["--timeout", "4"], "stopped after 4 s (--timeout)"),
        ("hungry", ["--memory", "1.2"], "stopped for using more than 1.2 GB (--memory)"),
    ],
)
def test_what_a_method_starts_is_stopped_with_it_and_its_memory_counts(
    world, tmp_path, cli, rows_in, monkeypatch, what, limit, reason
) -> None:
    """One that left its process group lives on and holds the pipe, and is not waited for."""
    monkeypatch.setenv("TOY_CHILD", str(tmp_path / "child"))
    flags = [*CORNER, "--sets", "1", "--seeds", "1", "--methods", "parent,random", *limit]
    flags += ["--learners", "coin", "--set", f"parent.what={what}"]
    told = cli("run", *flags, *world.flags(tmp_path / "s"))
    assert told.code == 1
    assert reason in told.out
    rows = rows_in(tmp_path / "s")
    assert dict(zip(rows.method, rows.status, strict=True)) == {"parent": "failed", "random": "ok"}
    child = Path(f"/proc/{(tmp_path / 'child').read_text()}")
    if what == "leaver":
        assert child.exists(), "it was waited for until it ended"
        os.kill(int(child.name), signal.SIGKILL)
    else:
        gone = time.monotonic() + 5
        while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
            assert time.monotonic() < gone, "its process lives on"
            time.sleep(0.05)


@pytest.mark.parametrize("limit", [[], ["--workers", "2"], ["--timeout", "60"]])
def test_a_method_may_start_processes_of_its_own(world, tmp_path, cli, limit) -> None:
    flags = [*CORNER, "--sets", "1", "--seeds", "1", "--methods", "parent", "--learners", "coin"]
    told = cli("run", *flags, *limit, *world.flags(tmp_path))
    assert told.code == 0, told.out


def test_a_clock_that_runs_backwards(
    world, tmp_path, cli, rows_in, finished, monkeypatch, mlflow_database
) -> None:
    (tmp_path / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    ticks = itertools.count()
    begun = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: begun - 60.0 * next(ticks))
        flags = ["--suite", "toy", "--tasks-only", "mood", "--learners", "tfidf-lr,nan-once"]
        assert cli("run", *flags, *world.flags(tmp_path)).code == 1
        assert cli("track", "--sync", *world.flags(tmp_path)).code == 0
        assert cli("run", *flags, "--retry-failed", *world.flags(tmp_path)).code == 0
        assert cli("track", "--sync", *world.flags(tmp_path)).code == 0
    expected = rows_in(finished).query("learner == 'tfidf-lr' and task == 'mood'")
    assert_same(rows_in(tmp_path).query("learner == 'tfidf-lr'"), expected)
    from benchmark.tracking import Mirror

    opened = Store(tmp_path)
    client = Mirror(opened, f"sqlite:///{tmp_path}/mlflow.db").client
    experiment = client.get_experiment_by_name("text-distillation/toy")
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    sent = Counter(run.data.tags["run_key"] for run in found if "run_key" in run.data.tags)
    costs = opened.database.execute("SELECT costs FROM runs WHERE costs LIKE '%seconds\":-%'")
    assert not costs.fetchall(), "no run took less than no time"
    opened.close()
    assert sent == Counter(set(rows_in(tmp_path).run_key))


def test_ten_thousand_cells_are_planned(world, tmp_path, cli) -> None:
    learners = ",".join(f"tiny-bert@steps={number}" for number in range(1, 101))
    flags = ["--methods", "random,k-centers", "--dpc", ",".join(map(str, range(1, 26)))]
    flags += ["--learners", learners, "--sets", "2", "--seeds", "3"]
    told = cli("plan", "--suite", "toy", *flags, *world.flags(tmp_path))
    assert told.code == 0, told.err
    assert "10000 cells of 2 sets x 3 seeds; to do: 200 sets, 60000 trainings" in told.out


def test_a_driver_that_is_slow_to_write_fails_nothing_that_was_finished_in_time(
    world, tmp_path, cli, rows_in, monkeypatch
) -> None:
    put, slept = Store.put_run, []

    def slow(*given) -> None:
        if not slept:
            slept.append(time.sleep(5))
        put(*given)

    monkeypatch.setattr(Store, "put_run", slow)
    flags = ["--sets", "2", "--seeds", "3", "--methods", "random", "--timeout", "4"]
    told = cli("run", *CORNER, *flags, "--learners", "coin", *world.flags(tmp_path))
    assert told.code == 0, told.out
    assert set(rows_in(tmp_path).status) == {"ok"}
    assert slept
