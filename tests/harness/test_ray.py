"""A real Ray cluster of two nodes on this machine: whatever dies, every cell ends done, once."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from benchmark.frame import rows_frame
from benchmark.store import Store

pytest.importorskip("ray", reason="the extra `ray` is not installed: pip install -e '.[ray]'")

SMALL = ["run", "--suite", "toy", "--methods", "random,learning", "--dpc", "2"]
START_SECONDS = 300
OBJECT_STORE = str(80 * 2**20)


def end_with_the_tests() -> None:
    """Have the kernel end a node or driver when pytest ends, however that comes about."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@dataclass
class Cluster:
    """Nodes as `ray start --block`, each the leader of a process group that can be killed whole."""

    folder: Path
    environment: dict[str, str]
    port: int
    nodes: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, name: str, *args: str, within: Sequence[str] = ()) -> None:
        """Start a node with one CPU, `within` another command; wait until it says that it runs."""
        log = self.folder / f"{name}.log"
        command = [
            *within, str(Path(sys.executable).with_name("ray")), "start", *args, "--num-cpus", "1",
            "--object-store-memory", OBJECT_STORE, "--disable-usage-stats", "--block",
        ]  # fmt: skip
        with log.open("w") as handle:
            node = subprocess.Popen(
                command,
                env=self.environment,
                stdout=handle,
                stderr=handle,
                start_new_session=True,
                preexec_fn=end_with_the_tests,
            )
        self.nodes[name] = node
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in log.read_text():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)

    def kill(self, name: str) -> None:
        """End a node with all its processes, as a power cut does."""
        node = self.nodes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def workers(self, name: str) -> list[int]:
        """Processes of a node that are at work on a job."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                session = int(stat.read_text().rpartition(")")[2].split()[3])
                title = (stat.parent / "cmdline").read_bytes()
                if session == self.nodes[name].pid and title.startswith(b"ray::_perform"):
                    found.append(int(stat.parent.name))
        return found


@pytest.fixture(scope="module")
def cluster(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A head and a second node (one core, a pretended GPU), two CPUs in all, behind a token."""
    folder = tmp_path_factory.mktemp("ray")
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    variables = {
        **environment,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_worker_niceness": "0",  # Ray's 15 starves workers where other tests run beside
        "TOY_LOG": str(folder / "gpus.log"),
        "TOY_NAP": "0.3",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    made = Cluster(folder, variables, free_port())
    try:
        # A short path: those of its sockets may have no more than 107 characters.
        with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as short:
            made.start(
                "head", "--head", "--port", str(made.port), "--include-dashboard=false",
                "--temp-dir", short,
            )  # fmt: skip
            made.start(
                "second",
                "--address",
                made.address,
                "--num-gpus",
                "1",
                within=("taskset", "-c", "0"),
            )
            yield made
    finally:
        for name in list(made.nodes):
            made.kill(name)


@pytest.fixture
def drive(cluster: Cluster) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a driver on the cluster; none outlives its test."""
    drivers: list[subprocess.Popen] = []

    def begin(*args: str | Path, **more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "benchmark", *map(str, args), "--executor", "ray"]
        if "--ray-address" not in args:
            command += ["--ray-address", cluster.address]
        drivers.append(
            subprocess.Popen(
                command,
                env={**cluster.environment, **more},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=end_with_the_tests,
            )
        )
        return drivers[-1]

    yield begin
    for driver in drivers:
        if driver.poll() is None:
            driver.kill()
            driver.wait()


def runs(store: Path) -> int:
    """Trainings that are written; 0 where there is no database yet."""
    try:
        with contextlib.closing(
            sqlite3.connect(f"file:{store / 'rows.sqlite'}?mode=ro", uri=True)
        ) as database:
            return database.execute("SELECT COUNT(*) FROM runs").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def devices(store: Path, learner: str) -> set[str]:
    """What computed a learner's trainings, as the rows say."""
    opened = Store(store, create=False)
    rows = rows_frame(opened, "toy")
    opened.close()
    return set(rows[rows.learner == learner].device)


def wait_for_runs(store: Path, count: int, driver: subprocess.Popen) -> int:
    while driver.poll() is None:
        if (done := runs(store)) >= count:
            return done
        time.sleep(0.05)
    raise AssertionError(driver.communicate())


def finish(driver: subprocess.Popen) -> str:
    """Output of a driver that must end well."""
    out, err = driver.communicate(timeout=400)
    assert driver.returncode == 0, out + err
    return out


@pytest.mark.ray
def test_a_killed_worker_and_a_killed_driver_lose_nothing(
    world, tmp_path, cli, cluster, drive, rows_in
) -> None:
    flags = [*SMALL, "--learners", "tfidf-nb,coin,half-gpu"]
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    driver = drive(*flags, *world.flags(rough))
    wait_for_runs(rough, 2, driver)
    deadline = time.monotonic() + 60
    while not (at_work := [p for name in cluster.nodes for p in cluster.workers(name)]):
        assert time.monotonic() < deadline, "no worker is at work"
    os.kill(at_work[0], signal.SIGKILL)
    before = wait_for_runs(rough, runs(rough) + 2, driver)
    driver.kill()
    driver.communicate()
    before = runs(rough)
    out = finish(drive(*flags, *world.flags(rough)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_LOG", os.devnull)
        assert cli(*flags, *world.flags(calm)).code == 0
    pd.testing.assert_frame_equal(rows_in(rough), rows_in(calm))
    assert f"{runs(rough) - before} trainings" in out, "one was lost, or done twice"
    given = (cluster.folder / "gpus.log").read_text().split()
    assert given, "the jobs that want half a GPU were not done where there is one"
    assert set(given) == {"0"}
    assert devices(rough, "half-gpu") == {f"CPU, 1 core, {platform.machine()}"}, "the node's"
    learned = list((rough / "states").glob("*/state.json"))
    assert len(learned) == 2, "learned once for each task"
    assert not list(rough.glob(".ray-*")), "the killed driver's mark went when the next run began"


@pytest.mark.ray
def test_a_node_that_stops_in_mid_run_costs_time_only(
    world, tmp_path, cli, cluster, drive, rows_in
) -> None:
    flags = [*SMALL, "--learners", "coin", "--timeout", "120"]
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    driver = drive(*flags, *world.flags(rough))
    wait_for_runs(rough, 2, driver)
    deadline = time.monotonic() + 60
    while not cluster.workers("second") and driver.poll() is None:
        assert time.monotonic() < deadline, "the second node got no job"
    cluster.kill("second")
    out = finish(driver)
    assert f"{runs(rough)} trainings" in out
    assert cli(*flags[:-2], *world.flags(calm)).code == 0
    pd.testing.assert_frame_equal(rows_in(rough), rows_in(calm))


@pytest.mark.ray
def test_a_node_that_joins_and_does_not_see_the_store_is_given_no_more_jobs(
    world, tmp_path, cli, cluster, drive, rows_in
) -> None:
    hiding = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {tmp_path} && exec "$@"', "-"]
    if subprocess.run([*hiding, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount a file system of its own")
    flags = [*SMALL, "--learners", "coin", "--dpc", "2,4", "--sets", "6", "--seeds", "4"]
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    driver = drive(*flags, *world.flags(rough))
    wait_for_runs(rough, 1, driver)
    cluster.start("blind", "--address", cluster.address, within=hiding)
    said = "is not the driver's directory; that node is given no more jobs"
    try:
        told = []
        while said not in "".join(told):
            told.append(driver.stderr.readline())
            assert told[-1], "".join(told)
        time.sleep(5)  # jobs that were on their way there
        seen = looked = 0
        while driver.poll() is None:
            seen += bool(cluster.workers("blind"))
            looked += 1
            time.sleep(0.01)
        _, err = driver.communicate(timeout=400)
        assert driver.returncode == 0, "".join(told) + err
        assert looked > 50, "the run was over too soon to tell"
        assert not seen, f"at work there {seen} of {looked} times"
    finally:
        cluster.kill("blind")
    assert cli(*flags, *world.flags(calm)).code == 0
    pd.testing.assert_frame_equal(rows_in(rough), rows_in(calm))


@pytest.mark.ray
def test_what_no_node_could_do_is_said_before_work_starts(world, tmp_path, cluster, drive) -> None:
    flags = [*SMALL, "--learners", "coin", "--memory", "100000", *world.flags(tmp_path / "s")]
    _, err = (driver := drive(*flags)).communicate(timeout=300)
    assert driver.returncode == 2, err
    assert "--memory 100000: no node of the cluster offers more than" in err


@pytest.mark.ray
def test_without_the_token_there_is_no_way_in(world, tmp_path, cluster, drive) -> None:
    flags = [*SMALL, "--learners", "coin", *world.flags(tmp_path / "s")]
    driver = drive(*flags, RAY_AUTH_TOKEN_PATH=str(tmp_path / "no-such-file"))
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 2, err
    assert "The driver needs the cluster's token" in err
    assert "Traceback" not in err


def test_a_cluster_of_this_machine_gives_the_rows_of_local(
    world, tmp_path, cli, environment, rows_in
) -> None:
    flags = [*SMALL, "--methods", "random", "--tasks-only", "mood", "--learners", "coin"]
    (tmp_path / "token").write_text(secrets.token_hex(32))
    variables = {
        **environment,
        "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"),
        "RAY_worker_niceness": "0",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    ray = ["--executor", "ray", "--ray-address", "local", *world.flags(tmp_path / "ray")]
    command = [sys.executable, "-m", "benchmark", *map(str, [*flags, *ray])]
    told = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=400)
    assert told.returncode == 0, told.stderr
    assert cli(*flags, *world.flags(tmp_path / "local")).code == 0
    pd.testing.assert_frame_equal(rows_in(tmp_path / "ray"), rows_in(tmp_path / "local"))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nothing answers there"),
        ("ray://head:10001", "is neither auto, local nor HOST:PORT"),
        ("head", "is neither auto, local nor HOST:PORT"),
    ],
)
def test_an_address_that_leads_nowhere(world, tmp_path, cli, address, said) -> None:
    ray = ["--executor", "ray", "--ray-address", address]
    told = cli(*SMALL, "--learners", "coin", *ray, *world.flags(tmp_path / "s"))
    assert told.code == 2
    assert said in told.message
    assert not (tmp_path / "s").exists()
