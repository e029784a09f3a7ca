"""A tiny world: two tasks, a tiny BERT, a plug-in package; and the command line, in two ways."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.learner import LEARNERS
from benchmark.core.method import METHODS
from benchmark.frame import rows_frame
from benchmark.store import Store

# Tiny matrices gain nothing from threads and lose much where tests share the cores.
os.environ["OMP_NUM_THREADS"] = "1"
PLUGIN = Path(__file__).parent / "plugin"
sys.path.insert(0, str(Path(__file__).parent / "tiny"))

from toy_world import World, make_world, write_table  # noqa: E402


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line that says what was wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


class NoMirror:
    """Stands for MLflow where a test is not about it."""

    failure = ""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> NoMirror:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discover the toy plug-in, and forget it and the toy learners afterwards."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    for registry in (METHODS, LEARNERS):
        registry.names()
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        monkeypatch.setattr(registry, "_discovered", False)


@pytest.fixture
def cli(
    registries: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> Callable[..., Result]:
    """Run the command line in this process, without MLflow."""
    from benchmark.cli import main, run_verb, score_verb

    for verb in (run_verb, score_verb):
        monkeypatch.setattr(verb, "BackgroundMirror", NoMirror)

    def call(*args: str | Path) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, args)])
        code: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        assert isinstance(code or 0, int)
        return Result(int(code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Environment of processes: the plug-in is on the path, nothing is sent elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "BENCHMARK"))}
    path = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
    return {**kept, "PYTHONPATH": path, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@pytest.fixture
def process(environment: dict[str, str]) -> Callable[..., Result]:
    """Run the command line as a process of its own, with MLflow."""

    def call(*args: str | Path, **more: str) -> Result:
        command = [sys.executable, "-m", "benchmark", *map(str, args)]
        ended = subprocess.run(
            command, env={**environment, **more}, capture_output=True, text=True, timeout=120
        )
        return Result(ended.returncode, ended.stdout, ended.stderr)

    return call


def read_rows(store: Path, suite: str = "toy") -> pd.DataFrame:
    """Rows of a store as the leaderboard reads them, less what no two runs share (times)."""
    opened = Store(store, create=False)
    frame = rows_frame(opened, suite)
    opened.close()
    identity = ["task", "method", "params", "dpc", "learner", "set_index", "seed_index"]
    results = ["status", "score", "accuracy", "macro_f1", "set_key", "set_hash", "run_key"]
    facts = ["set_rows", "copies", "planned_sets", "planned_seeds"]
    return frame[identity + results + facts].sort_values(identity).reset_index(drop=True)


@pytest.fixture(scope="session")
def rows_in() -> Callable[..., pd.DataFrame]:
    return read_rows


@pytest.fixture(scope="session")
def table_writer() -> Callable[..., None]:
    return write_table


@pytest.fixture(scope="session")
def finished(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which suite `toy` is done. Copy it before writing to it."""
    from benchmark.core.library import Library, LibraryConfig
    from benchmark.executors import Limits, choose_local
    from benchmark.plan import Options, make_plan
    from benchmark.runner import Runner

    class Silent:
        def stage(self, words: str, total: int) -> None: ...
        def advance(self, words: str) -> None: ...
        def note(self, words: str) -> None: ...

    root = tmp_path_factory.mktemp("finished") / "store"
    config = LibraryConfig(root, world.assets, True, (world.tasks,))
    LEARNERS.names()
    entries = dict(LEARNERS._entries)
    library = Library(config)
    store = Store(root)
    runner = Runner(store, choose_local(config, library, 1, Limits()), Silent())
    summary = runner.run(make_plan(Options("toy"), library))
    store.close()
    LEARNERS._entries = entries
    assert summary.exit_code(allow_partial=False) == 0
    return root


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished store."""
    return Path(shutil.copytree(finished, tmp_path / "store"))


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's empty database, which takes it long to make."""
    from benchmark.tracking import Mirror
    from benchmark.tracking_server import tracking_uri

    root = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        Mirror(Store(root), tracking_uri(root))
    return root / "mlflow.db"
