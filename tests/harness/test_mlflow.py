"""MLflow mirrors the rows: a real server, down at first; what failed and was done again."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmark.store import Store
from benchmark.tracking import Mirror
from benchmark.tracking_server import damaged_files

SMALL = ["--suite", "toy", "--tasks-only", "mood", "--dpc", "2", "--sets", "2", "--seeds", "2"]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def server(folder: Path, port: int, log: Path) -> Iterator[subprocess.Popen]:
    """A real `mlflow server` while the block lasts."""
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    with log.open("w") as handle:
        quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        child = subprocess.Popen(
            command, env=quiet, stdout=handle, stderr=handle, start_new_session=True
        )
        try:
            for _ in range(300):
                assert child.poll() is None, log.read_text()
                with contextlib.suppress(OSError):
                    if urllib.request.urlopen(f"http://127.0.0.1:{port}/health").status == 200:
                        break
                time.sleep(0.2)
            yield child
        finally:
            child.terminate()
            child.wait(60)


def children(client, suite: str = "toy") -> list:
    experiment = client.get_experiment_by_name(f"text-distillation/{suite}")
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    return [run for run in found if "run_key" in run.data.tags]


def test_a_server_that_was_down_gets_everything_once(
    world, tmp_path, cli, process, rows_in, mlflow_database, monkeypatch
) -> None:
    port = free_port()
    uri = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
    store = tmp_path / "s"
    flags = [*SMALL, "--methods", "random,first", "--learners", "tfidf-lr,coin"]
    ran = process("run", *flags, *world.flags(store), **uri)
    assert ran.code == 0, ran.err
    assert "MLflow did not get everything" in ran.out
    assert "track --sync" in ran.out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri["MLFLOW_TRACKING_URI"])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    down = cli("track", "--sync", *world.flags(store))
    assert down.code == 1
    assert "cannot be reached" in down.message
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    rows = rows_in(store)
    with server(folder, port, tmp_path / "log"):
        sent = cli("track", "--sync", *world.flags(store))
        assert sent.code == 0, sent.err
        assert f"{rows.run_key.nunique()} runs sent to MLflow" in sent.out
        again = cli("track", "--sync", *world.flags(store))
        assert "0 runs sent to MLflow" in again.out
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri["MLFLOW_TRACKING_URI"])
        found = children(client)
        assert Counter(run.data.tags["run_key"] for run in found) == Counter(set(rows.run_key))
        scores = rows.set_index("run_key").score
        for run in found:
            key = run.data.tags["run_key"]
            assert run.data.metrics["score_accuracy"] == pytest.approx(scores.loc[[key]].iloc[0])
            parent = client.get_run(run.data.tags["mlflow.parentRunId"])
            assert parent.data.params["learner"] == run.data.params["learner"]
        parents = {run.data.tags["mlflow.parentRunId"] for run in found}
        assert len(parents) == 4
        for cell in (client.get_run(parent).data for parent in parents):
            mine = rows[
                (rows.method == cell.params["method"]) & (rows.learner == cell.params["learner"])
            ]
            assert cell.metrics["n_runs"] == len(mine) == 4
            assert cell.metrics["score_mean"] == pytest.approx(mine.score.mean())
            assert cell.metrics["score_std"] == pytest.approx(mine.score.std(ddof=0))
        experiment = client.get_experiment_by_name("text-distillation/toy")
        assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
        artifacts = [path for parent in parents for path in client.list_artifacts(parent, "sets")]
        assert len(artifacts) == 4  # two methods x two sets, each once


@pytest.mark.survive
def test_a_server_that_dies_in_mid_run_and_returns_gets_everything_once(
    world, tmp_path, cli, environment, rows_in, mlflow_database, monkeypatch
) -> None:
    """Killed while it is being told, and there again before the run ends or after."""
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    # A server closes connections that were idle for some seconds, also one about to be used.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    uri = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", "TOY_NAP": "0.5"}
    store, folder = tmp_path / "s", tmp_path / "server"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    flags = [*SMALL, "--seeds", "10", "--methods", "random,first", "--learners", "coin"]
    command = [sys.executable, "-m", "benchmark", "run", *flags, *world.flags(store)]

    def sent() -> int:
        try:
            with contextlib.closing(sqlite3.connect(store / "rows.sqlite")) as rows:
                return rows.execute("SELECT COUNT(*) FROM mirror WHERE kind='run'").fetchone()[0]
        except sqlite3.OperationalError:  # there is no database, or no table yet
            return 0

    with server(folder, port, tmp_path / "log") as child:
        run = subprocess.Popen(
            command, env={**environment, **uri}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + 300
        while sent() < 3 and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        family = [*psutil.Process(child.pid).children(recursive=True), child]
        for one in family:  # its workers are in other process groups, and hold the port
            one.kill()
        psutil.wait_procs([one for one in family if one is not child])
        child.wait()
        assert run.poll() is None, "the run was over before the server died"
    with server(folder, port, tmp_path / "log"):
        told, _ = run.communicate(timeout=300)
        assert run.returncode == 0, told
        assert cli("track", "--sync", *world.flags(store)).code == 0
        from mlflow import MlflowClient

        found = children(MlflowClient(tracking_uri=uri["MLFLOW_TRACKING_URI"]))
    rows = rows_in(store)
    assert len(rows) == 40
    assert set(rows.status) == {"ok"}
    assert Counter(run.data.tags["run_key"] for run in found) == Counter(set(rows.run_key))


def test_a_run_that_is_done_again_is_replaced(world, tmp_path, cli, mlflow_database) -> None:
    store = tmp_path / "s"
    store.mkdir()
    uri = f"sqlite:///{store}/mlflow.db"
    (store / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    flags = [*SMALL, "--methods", "random", "--learners", "nan-once", *world.flags(store)]

    def sync() -> Counter:
        opened = Store(store)
        mirror = Mirror(opened, uri)
        mirror.sync()
        opened.close()
        return Counter(run.data.tags["status"] for run in children(mirror.client))

    assert cli("run", *flags).code == 1
    assert sync() == {"ok": 3, "failed": 1}
    assert cli("run", *flags, "--retry-failed").code == 0
    assert sync() == {"ok": 4}
    assert sync() == {"ok": 4}


def test_what_a_method_learned_is_a_run_with_its_curve_once(
    world, tmp_path, cli, mlflow_database
) -> None:
    store = tmp_path / "s"
    store.mkdir()
    uri = f"sqlite:///{store}/mlflow.db"
    (store / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    flags = [*SMALL, "--methods", "learning", "--learners", "tfidf-lr", *world.flags(store)]
    told = cli("run", *flags)
    assert told.code == 0, told.err
    cli("run", *flags, "--dpc", "2,4")  # another budget: the state is there, nothing is sent again
    opened = Store(store)
    mirror = Mirror(opened, uri)
    mirror.complete()
    experiment = mirror.client.get_experiment_by_name("text-distillation/toy")
    (run,) = mirror.client.search_runs(
        [experiment.experiment_id], "tags.kind = 'preparation'", max_results=10
    )
    assert run.info.run_name == "mood / learning / learned once"
    assert run.data.params["rate"] == "0.5"
    assert run.data.metrics["found_insight"] == 0.75
    history = mirror.client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25), (3, 0.125)]
    opened.put_mirror("toy", "state", run.data.tags["state_key"], uri, "0" * 32)  # it got lost
    mirror.complete()
    (again,) = mirror.client.search_runs(
        [experiment.experiment_id], "tags.kind = 'preparation'", max_results=10
    )
    assert again.info.run_id != run.info.run_id
    facts = [record.facts for record in opened.sets().values()]
    opened.close()
    assert len(facts) == 4
    assert {f["prepare_seconds"] for f in facts} == {run.data.metrics["prepare_seconds"]}
    page = (store / "reports" / "toy.md").read_text()
    assert "Learned once per task" in page
    assert "| mood" in page.partition("Learned once per task")[2]
    assert "0.750" in page


def test_the_page_and_its_figures_are_artefacts_of_one_run_and_follow_the_rows(
    world, tmp_path, cli, mlflow_database
) -> None:
    store = tmp_path / "s"
    store.mkdir()
    uri = f"sqlite:///{store}/mlflow.db"
    (store / "mlflow.db").write_bytes(mlflow_database.read_bytes())
    flags = [*SMALL, "--methods", "random", "--learners", "tfidf-lr", *world.flags(store)]

    def page() -> tuple[str, set[str], str]:
        """The one run of the page, its files, and the page as MLflow has it."""
        opened = Store(store)
        mirror = Mirror(opened, uri)
        mirror.complete()
        opened.close()
        client = mirror.client
        experiment = client.get_experiment_by_name("text-distillation/toy").experiment_id
        (run,) = client.search_runs([experiment], "tags.kind = 'page'")
        names = {item.path for item in client.list_artifacts(run.info.run_id, "leaderboard")}
        text = Path(client.download_artifacts(run.info.run_id, "leaderboard/toy.md")).read_text()
        return run.info.run_id, names, text

    assert cli("run", *flags).code == 0
    first, names, text = page()
    assert names == {f"leaderboard/toy.{suffix}" for suffix in ("md", "csv", "html")}
    assert text == (store / "reports" / "toy.md").read_text()
    assert cli("run", *flags, "--dpc", "2,4").code == 0  # two budgets make a curve
    again, names, text = page()
    assert again == first
    assert {"leaderboard/toy-scaling.svg", "leaderboard/toy-scaling.png"} <= names
    assert text == (store / "reports" / "toy.md").read_text()


@pytest.mark.parametrize("other", [False, True], ids=["deleted", "replaced"])
def test_an_mlflow_file_that_lost_everything_is_filled_again(
    world, tmp_path, cli, process, mlflow_database, other: bool
) -> None:
    store = tmp_path / "s"
    store.mkdir()
    database = store / "mlflow.db"
    database.write_bytes(mlflow_database.read_bytes())
    flags = [*SMALL, "--methods", "random", "--learners", "coin", *world.flags(store)]
    assert cli("run", *flags).code == 0
    assert "4 runs sent to MLflow" in cli("track", "--sync", *world.flags(store)).out
    for path in store.glob("mlflow.db*"):
        path.unlink()
    if other:
        database.write_bytes(mlflow_database.read_bytes())
    # another process: in this one MLflow still holds the file that was deleted
    told = process("track", "--sync", *world.flags(store))
    assert told.code == 0, told.err
    assert "4 runs sent to MLflow" in told.out
    with contextlib.closing(sqlite3.connect(database)) as mlflow:
        sent = mlflow.execute("SELECT value FROM tags WHERE key='run_key'").fetchall()
    assert len(set(sent)) == len(sent) == 4


@pytest.mark.parametrize("kept", [0, 4096], ids=["no database", "first page whole"])
def test_a_damaged_mlflow_file_is_moved_away_and_everything_is_sent_again(
    world, tmp_path, cli, process, mlflow_database, kept: int
) -> None:
    store = tmp_path / "s"
    store.mkdir()
    database = store / "mlflow.db"
    whole = mlflow_database.read_bytes()
    database.write_bytes(whole)
    flags = [*SMALL, "--methods", "random", "--learners", "coin", *world.flags(store)]
    assert cli("run", *flags).code == 0
    assert "4 runs sent to MLflow" in cli("track", "--sync", *world.flags(store)).out
    damage = (b"no page of a database " * len(whole))[: len(whole) - kept]
    database.write_bytes(whole[:kept] + damage)
    told = process("track", "--sync", *world.flags(store))
    assert told.code == 1
    assert f"Move {database} away; the same command then sends everything again" in told.message
    again = process("run", *flags)
    assert again.code == 0
    assert f"Move {database} away, then send everything again with: python -m" in again.out
    database.rename(tmp_path / "moved.db")
    told = process("track", "--sync", *world.flags(store))
    assert told.code == 0, told.err
    assert "4 runs sent to MLflow" in told.out


def test_a_journal_beside_a_damaged_mlflow_file_is_named_too(tmp_path) -> None:
    database = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as mlflow:
        mlflow.execute("CREATE TABLE runs (id)")
    uri = f"sqlite:///{database}"
    assert damaged_files(uri) == []
    database.write_bytes(b"no database" * 1000)
    (tmp_path / "mlflow.db-wal").touch()
    assert damaged_files(uri) == [database, tmp_path / "mlflow.db-wal"]
    assert damaged_files("http://127.0.0.1:9") == []
    assert damaged_files(f"sqlite:///{tmp_path}/none.db") == []


def test_a_cell_that_was_purged_by_hand_is_made_again_and_nothing_is_there_twice(
    world, tmp_path, cli, mlflow_database
) -> None:
    store = tmp_path / "s"
    store.mkdir()
    database = store / "mlflow.db"
    database.write_bytes(mlflow_database.read_bytes())
    flags = [*SMALL, "--methods", "random", "--learners", "coin", *world.flags(store)]
    assert cli("run", *flags).code == 0
    assert cli("track", "--sync", *world.flags(store)).code == 0
    with contextlib.closing(sqlite3.connect(database)) as mlflow:
        cell = "(SELECT run_uuid FROM tags WHERE key='cell_key')"
        for table in ("params", "runs", "tags"):
            mlflow.execute(f"DELETE FROM {table} WHERE run_uuid IN {cell}")
        mlflow.commit()
    assert cli("run", *flags, "--seeds", "3").code == 0
    told = cli("track", "--sync", *world.flags(store))
    assert told.code == 0, told.err
    opened = Store(store)
    client = Mirror(opened, f"sqlite:///{database}").client
    found = [run.data.tags for run in children(client)]
    opened.close()
    assert len({tags["run_key"] for tags in found}) == len(found) == 6
    assert len({tags["mlflow.parentRunId"] for tags in found}) == 1
