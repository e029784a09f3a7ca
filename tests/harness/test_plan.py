"""What a plan refuses, and what it says of memory, disk and download."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmark.core.library import Library, LibraryConfig
from benchmark.estimate import Costs, Todo
from benchmark.forecast import forecast
from benchmark.plan import Options, make_plan
from benchmark.precedents import SetPrecedent
from benchmark.store import Store

TDD = ["--methods", "tdd-cpu", "--learners", "tiny-bert", "--tasks-only", "mood", "--dpc", "2"]
TDD += ["--set", "tdd-cpu.learner=tiny"]


def test_a_row_longer_than_the_model_reads_is_refused(world, tmp_path, cli) -> None:
    flags = ["--suite", "toy", *TDD, *world.flags(tmp_path / "s")]
    for verb in ("plan", "run"):
        refused = cli(verb, *flags, "--set", "tdd-cpu.length=65")
        assert refused.code == 2
        assert (
            "'mood', tdd-cpu at DPC 2: length is 65, and tiny reads at most 64" in refused.message
        )
        assert "--set tdd-cpu.length=64 or less" in refused.message
    assert cli("plan", *flags, "--set", "tdd-cpu.length=64").code == 0
    assert not (tmp_path / "s" / "sets").exists()


def test_a_wrong_parameter_does_not_pass_for_a_set_that_no_learner_can_use(
    world, tmp_path, cli
) -> None:
    flags = ["--suite", "toy", *TDD, "--learners", "tfidf-lr", *world.flags(tmp_path / "s")]
    assert cli("plan", *flags).code == 0  # the cell does not apply, and that is all
    refused = cli("plan", *flags, "--set", "tdd-cpu.length=65")
    assert refused.code == 2
    assert "length is 65, and tiny reads at most 64" in refused.message


def test_a_set_that_needs_more_memory_than_there_is_is_refused(world, tmp_path, cli) -> None:
    flags = ["--suite", "toy", *TDD, *world.flags(tmp_path / "s")]
    for verb in ("plan", "run"):
        refused = cli(verb, *flags, "--memory", "0.001")
        assert refused.code == 2
        assert re.search(
            r"a set would need about [\d.]+ GB, and --memory allows 0.0 GB", refused.message
        )
        assert "unroll=replay" in refused.message
    huge = cli("plan", *flags, "--set", "tdd-cpu.passes=1000000")
    assert huge.code == 2
    assert "this machine has" in huge.message
    # The nodes of a cluster have memory of their own; other methods tell no need.
    assert cli("plan", *flags, "--memory", "0.001", "--executor", "ray").code == 0
    random = [*flags, "--methods", "random"]
    assert cli("plan", *random, "--memory", "0.001").code == 0


@pytest.fixture
def planned(registries, world, tmp_path):
    """The one cell of `tdd-cpu` on the tiny model with these parameters."""

    def plan(dpc: int = 2, method: str = "tdd-cpu", **params: object):
        library = Library(LibraryConfig(tmp_path / "none", world.assets, True, (world.tasks,)))
        settings = {method: {"learner": "tiny", **{k: str(v) for k, v in params.items()}}}
        options = Options("toy", (method,), ("tiny-bert",), ("mood",), (dpc,), settings=settings)
        (cell,) = make_plan(options, library).cells
        return cell

    return plan


def test_estimates_count_the_outer_steps(planned, tmp_path, monkeypatch) -> None:
    def seconds(cell) -> float:
        store = Store(tmp_path / "empty")
        found = forecast([Todo(cell, 1, 0)], store)
        store.close()
        return found.seconds

    known = planned(steps=500)
    effort = known.method.effort(known.outline, known.budget)
    one = SetPrecedent("tdd-cpu", type(known.method), "mood", "2", 60.0, effort, 80)
    costs = Costs(sets=[one])
    monkeypatch.setattr(Costs, "measured", classmethod(lambda cls, *given: costs))
    assert seconds(known) == pytest.approx(60)
    # Each look at held-out rows is one more than there are hundreds of steps.
    assert seconds(planned(steps=1_000)) == pytest.approx(120, rel=0.02)
    assert 60 < seconds(planned(steps=500, dpc=20)) < 600
    assert seconds(planned(steps=500, unroll="replay")) > 60
    # A variant of the same adapter that was never run itself has this one as precedent.
    hard = planned(method="tdd-hard-cpu", steps=500)
    assert seconds(hard) == pytest.approx(60)
    assert Costs(sets=[one]).set(planned(method="bptt-cpu")) is None


def test_efforts_of_sets_in_a_store_come_from_what_their_keys_are_made_of(planned, tmp_path):
    from benchmark.precedents import set_effort

    cell = planned(steps=700, dpc=4)
    kind, effort = set_effort(cell.set_key(0).ingredients, "mood", 80, {"mood": cell.outline})
    assert kind is type(cell.method)
    assert effort == cell.method.effort(cell.outline, cell.budget)
    assert set_effort({"method": "gone", "params": {}, "dpc": [1]}, "mood", 80, {}) == (None, 80)


def test_memory_and_disk_are_told(world, store, finished, tmp_path, cli) -> None:
    fresh = cli("plan", "--suite", "toy", *world.flags(tmp_path / "none"))
    assert "memory: not known; not measured here yet: herding, k-centers, random" in fresh.out
    more = cli("plan", "--suite", "toy", "--sets", "4", *world.flags(store))
    peak = re.search(r"memory: ([\d.]+) ([MG])B a worker, by [a-z-]+\n", more.out)
    assert peak is not None, more.out
    told = re.search(r"disk: about ([\d.]+) ([kM])B beside", fresh.out)
    assert told is not None
    expected = float(told[1]) * {"k": 1e3, "M": 1e6}[told[2]]
    parts = ("sets", "features", "predictions", "rows.sqlite")
    files = [file for part in parts for file in _files(finished / part)]
    real = sum(file.stat().st_size for file in files)
    # The estimate has MLflow's database in it, which this store has not.
    assert real < expected < 6 * real + 108 * 18_000


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


class Hub(BaseHTTPRequestHandler):
    """Tells the sizes of two repositories, and notes what it was asked."""

    asked: list[str] = []

    def do_GET(self) -> None:
        Hub.asked.append(self.path)
        files = {"config.json": 1_000, "model.safetensors": 400_000_000, "flax_model.msgpack": 9}
        if "/datasets/" in self.path:
            files = {"data/train.parquet": 7_000_000, "README.md": 50}
        siblings = [{"rfilename": name, "size": size} for name, size in files.items()]
        body = json.dumps({"id": "a/b", "siblings": siblings}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub() -> Iterator[str]:
    """Address of a hub on this machine."""
    Hub.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_plan_asks_the_hub_for_sizes_and_fetches_nothing(
    world, tmp_path, environment, hub
) -> None:
    flags = [flag for flag in world.flags(tmp_path / "s") if flag != "--offline"]
    command = [sys.executable, "-m", "benchmark", "plan", "--suite", "gaps", *flags]
    kept = {key: value for key, value in environment.items() if key != "HF_HUB_OFFLINE"}
    home = {"HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": hub, "NO_PROXY": "127.0.0.1"}
    told = subprocess.run(
        command, env={**kept, **home}, capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stderr
    assert "to fetch: 3 cells wait for a download from the hub, 407.0 MB\n" in told.stdout
    assert "model google-bert/bert-base-uncased: 400.0 MB" in told.stdout
    assert "dataset toy/nowhere: 7.0 MB" in told.stdout
    assert "1 cells of 3 sets x 2 seeds; to do: 3 sets, 3 trainings" in told.stdout
    assert all(path.startswith("/api/") for path in Hub.asked), Hub.asked
    assert sum(path.startswith(("/api/models/", "/api/datasets/")) for path in Hub.asked) == 2
    for part in ("hub", "datasets"):
        assert not _files(tmp_path / "hub" / part)


def test_a_hub_out_of_reach_is_said_and_does_not_stop_the_plan(world, tmp_path, cli, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    from huggingface_hub import HfApi

    asked = []

    def refuse(self, *args, **more):
        asked.append(args)
        raise ConnectionError("no route")

    monkeypatch.setattr(HfApi, "repo_info", refuse)
    flags = [flag for flag in world.flags(tmp_path / "s") if flag != "--offline"]
    told = cli("plan", "--suite", "gaps", *flags)
    assert told.code == 0
    assert "3 cells wait for a download from the hub, of unknown size" in told.out
    assert "the hub could not be asked (ConnectionError: no route)" in told.out
    assert len(asked) == 1
    offline = cli("plan", "--suite", "gaps", *flags, "--offline")
    assert "not available: dataset toy/nowhere" in offline.out
    assert "to fetch" not in offline.out


def test_quiet_says_nothing_on_stderr(world, tmp_path, cli) -> None:
    flags = ["--suite", "toy", "--methods", "random", "--learners", "tfidf-lr", "--dpc", "2"]
    loud = cli("run", *flags, *world.flags(tmp_path / "a"))
    assert "mood: train: " in loud.err
    quiet = cli("run", *flags, "--quiet", *world.flags(tmp_path / "b"))
    assert quiet.code == 0
    assert quiet.err == ""
    assert "2 cells done" in quiet.out


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("run --suite dem", {"demo"}),
        ("run --methods random,k-c", {"random,k-centers", "random,k-center-greedy"}),
        ("run --methods random,rando", {"random,random-length-matched"}),
        ("plan --learners tfidf-l", {"tfidf-lr"}),
        ("run --suite glue --tasks-only co", {"cola"}),
        ("run --protocol q", {"quick"}),
        ("check herd", {"herding"}),
        ("new-m", {"new-method"}),
    ],
)
def test_the_shell_completes_names(monkeypatch, capsys, typed, expected) -> None:
    import benchmark.cli as command_line

    words = f"text-distillation-benchmark {typed}"
    monkeypatch.setenv("_TEXT_DISTILLATION_BENCHMARK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    command_line.load_verbs()
    with pytest.raises(SystemExit):
        command_line.app(prog_name="text-distillation-benchmark")
    assert set(capsys.readouterr().out.split()) == expected


def test_no_color_is_honoured(tmp_path) -> None:
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}

    def colours(**more: str) -> list[str]:
        ended = subprocess.run(
            [sys.executable, "-m", "benchmark", "plan", "--help"],
            env={**kept, "FORCE_COLOR": "1", "TERM": "xterm-256color", **more},
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        return re.findall(r"\x1b\[(?:\d+;)*[349]\d(?:;\d+)*m", ended.stdout)

    assert colours()
    assert not colours(NO_COLOR="1")


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (["--workers", "0"], "--workers 0"),
        (["--executor", "slurm"], "unknown executor 'slurm'"),
        (["--memory", "-1"], "--memory -1"),
        (["--executor", "ray", "--ray-address", "foo"], "neither auto, local nor HOST:PORT"),
        (["--executor", "ray", "--ray-address", "head:99999"], "neither auto, local nor HOST:PORT"),
    ],
)
def test_flags_of_the_machine_are_checked_as_run_checks_them(
    world, tmp_path, cli, flag, said
) -> None:
    for verb in (["plan"], ["run", "--dry-run"]):
        told = cli(*verb, "--suite", "toy", *flag, *world.flags(tmp_path))
        assert told.code == 2
        assert said in told.message


def test_the_time_of_a_plan_for_a_cluster_is_said_to_be_of_this_machine(
    world, tmp_path, cli
) -> None:
    flags = ["--suite", "toy", "--tasks-only", "mood", *world.flags(tmp_path)]
    nowhere = ["--executor", "ray", "--ray-address", "127.0.0.1:1"]  # it is not connected to
    for workers, words in (("1", "1 local worker"), ("2", "2 local workers")):
        for verb in (["plan"], ["run", "--dry-run"]):
            told = cli(*verb, *flags, *nowhere, "--workers", workers)
            assert told.code == 0
            assert f"(for {words} of this machine, not for the cluster)\n" in told.out
    assert "this machine" not in cli("plan", *flags, "--workers", "2").out


def test_what_failed_is_to_do_when_it_shall_be_tried_again(world, tmp_path, cli) -> None:
    flags = ["--suite", "toy", "--tasks-only", "mood", "--dpc", "2", "--sets", "2", "--seeds", "2"]
    flags += ["--methods", "random", "--learners", "nan-once", *world.flags(tmp_path)]
    assert cli("run", *flags).code == 1
    assert "to do: 0 sets, 0 trainings" in cli("plan", *flags).out
    assert "to do: 0 sets, 1 trainings" in cli("plan", *flags, "--retry-failed").out
    assert "to do: 0 sets, 1 trainings" in cli("run", *flags, "--dry-run", "--retry-failed").out
