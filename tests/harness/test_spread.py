"""An executor that spreads work gets the jobs of all tasks at once, and the rows are the same."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd
import pytest

from benchmark import runner
from benchmark.core.library import Library, LibraryConfig
from benchmark.environment import describe_device
from benchmark.executors import Limits, choose_local
from benchmark.executors.local import InProcess
from benchmark.executors.order import More, no_more
from benchmark.frame import rows_frame
from benchmark.plan import Options, make_plan
from benchmark.runner import Runner
from benchmark.store import Store
from benchmark.work import Job


class Shuffled(InProcess):
    """Stands for a cluster: takes jobs of all tasks, and does them in another order."""

    spreads = True

    def run(self, jobs: Sequence[Job], more: More = no_more) -> Iterator:
        self.batches: list[set[str]] = []

        def mixed(some: Iterable[Job]) -> list[Job]:
            batch = list(some)
            self.batches += [{job.task for job in batch}] if batch else []
            random.Random(5).shuffle(batch)
            return batch

        yield from super().run(mixed(jobs), lambda: mixed(more()))


class Silent:
    def stage(self, words: str, total: int) -> None: ...
    def advance(self, words: str) -> None: ...
    def note(self, words: str) -> None: ...


def test_the_order_of_jobs_changes_no_row(world, finished, tmp_path, registries, rows_in) -> None:
    config = LibraryConfig(tmp_path, world.assets, True, (world.tasks,))
    library = Library(config)
    opened = Store(tmp_path)
    executor = Shuffled(config, Limits(), None, library)
    options = Options("toy", learners=("tfidf-lr",))
    summary = Runner(opened, executor, Silent()).run(make_plan(options, library))
    opened.close()
    assert summary.exit_code(allow_partial=False) == 0
    assert executor.batches == [{"mood", "pair"}] * 2
    expected = rows_in(finished).query("learner == 'tfidf-lr'").reset_index(drop=True)
    pd.testing.assert_frame_equal(rows_in(tmp_path), expected)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_row_names_the_machine_that_computed_it(
    world, tmp_path, cli, monkeypatch, workers
) -> None:
    """A cluster's driver need not be like its nodes; here it says that it is another machine."""
    expected = describe_device()
    monkeypatch.setattr(runner, "describe_environment", lambda: {"device": "the driver"})
    flags = ["--methods", "random", "--learners", "coin", "--tasks-only", "mood"]
    cli("run", "--suite", "toy", *flags, "--workers", workers, *world.flags(tmp_path))
    opened = Store(tmp_path, create=False)
    devices = rows_frame(opened, "toy").groupby("learner").device.unique()
    opened.close()
    assert list(devices["coin"]) == [expected]


class Counting(Silent):
    """Keeps of every stage how many steps it was said to have, and how many were done."""

    def __init__(self) -> None:
        self.stages: dict[str, list[int]] = {}

    def stage(self, words: str, total: int) -> None:
        self.stages.setdefault(words, [0, 0])[0] = total

    def advance(self, words: str) -> None:
        self.stages[words][1] += 1


def test_progress_ends_at_its_total_though_sets_fail(world, tmp_path, registries, monkeypatch):
    """Nothing is trained on a set that failed, which is known only once it has."""
    (flag := tmp_path / "flag").touch()
    monkeypatch.setenv("TOY_FLAG", str(flag))
    config = LibraryConfig(tmp_path / "s", world.assets, True, (world.tasks,))
    library, opened, reporter = Library(config), Store(tmp_path / "s"), Counting()
    options = Options("toy", methods=("random", "flagged"), learners=("tfidf-lr", "coin"))
    executor = choose_local(config, library, 1, Limits())
    summary = Runner(opened, executor, reporter).run(make_plan(options, library))
    opened.close()
    assert summary.failed
    assert {words.split(": ")[1] for words in reporter.stages} == {"distil", "train"}
    for words, (total, done) in reporter.stages.items():
        assert done == total > 0, words


def test_a_cell_is_trained_while_sets_of_others_are_made(
    world, tmp_path, cli, rows_in, monkeypatch
) -> None:
    """`patient` makes no set before something was trained, and comes first."""
    monkeypatch.setenv("TOY_STORE", str(tmp_path / "rows.sqlite"))
    flags = ["--suite", "toy", "--tasks-only", "mood", "--dpc", "2", "--sets", "1", "--seeds", "2"]
    flags += ["--methods", "patient,random", "--learners", "coin", "--workers", "2"]
    told = cli("run", *flags, *world.flags(tmp_path))
    assert told.code == 0, told.out
    assert rows_in(tmp_path).status.tolist() == ["ok"] * 4


def test_workers_divide_the_cores_that_may_be_used(world, tmp_path, monkeypatch) -> None:
    config = LibraryConfig(tmp_path, world.assets, True, (world.tasks,))
    monkeypatch.setattr("benchmark.executors.local.usable_cores", lambda: 7)
    for workers, threads in ((2, 3), (3, 2), (7, 1), (9, 1)):
        executor = choose_local(config, None, workers, Limits())  # type: ignore[arg-type]
        assert [worker.threads for worker in executor._workers] == [threads] * workers


def test_threads_hold_for_what_is_loaded_before_and_after() -> None:
    script = (
        "import numpy\n"
        "from benchmark.core.threads import use_threads\n"
        "use_threads(1)\n"
        "import sklearn.linear_model, torch\n"
        "from threadpoolctl import threadpool_info\n"
        "assert torch.get_num_threads() == 1\n"
        "assert {pool['num_threads'] for pool in threadpool_info()} == {1}, threadpool_info()\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
