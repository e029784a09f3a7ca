"""What a kill leaves half-written goes when the next run begins; what is in use stays."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np

from benchmark import predictions
from benchmark.core.features import FeatureCache
from benchmark.core.library import LibraryConfig
from benchmark.core.locks import kernel_lock
from benchmark.executors.ray_cluster import Shared
from benchmark.predictions import Predictions
from benchmark.store import Store

KEY = "0123456789abcdef" * 2 + "01234567"


def everything(store: Path) -> set[Path]:
    return {path.relative_to(store) for path in store.rglob("*")}


def killed(work, folder: Path) -> None:
    """Do the work in a process that is killed before it renames what it has written."""

    def hang() -> None:
        os.replace = lambda *_: time.sleep(60)
        work()

    before = everything(folder)
    child = multiprocessing.get_context("fork").Process(target=hang)
    child.start()
    deadline = time.monotonic() + 30
    while not (new := everything(folder) - before) or all("lock" in path.name for path in new):
        assert child.is_alive() and time.monotonic() < deadline  # noqa: PT018
        time.sleep(0.01)
    time.sleep(0.1)
    child.kill()
    child.join()


def test_a_run_removes_what_kills_have_left(world, store, cli) -> None:
    opened = Store(store)
    record = next(iter(opened.sets().values()))
    made = opened.load_set(record)
    rows = opened.database.execute("SELECT suite, task, method, params, dpc, learner FROM rows")
    cell = predictions.CellId(*rows.fetchone())
    kept = Predictions(opened)
    path = kept.path(cell)
    whole = path.read_bytes()
    path.unlink()
    opened.close()
    before = everything(store)
    killed(lambda: FeatureCache(store / "features").get(KEY, lambda: np.ones(9)), store)
    killed(lambda: made.save(opened.set_folder(KEY)), store)
    killed(lambda: kept._write(cell, []), store)
    (store / f".ray-{KEY}").touch()
    (store / "logits").mkdir()
    (store / "logits" / f".{KEY}.npy").touch()
    (store / "states" / f".{KEY}.damaged").mkdir(parents=True)
    (store / "states" / f"{KEY}.partial").mkdir()
    left = {path.name.replace(KEY, "KEY")[:10] for path in everything(store) - before}
    assert len(left) >= 7, left
    path.write_bytes(whole)
    assert cli("run", "--suite", "toy", *world.flags(store)).code == 0
    new = everything(store) - before
    found = {str(path) for path in new if "reports" not in path.parts and path.name[0] == "."}
    assert found == {f"features/.{KEY}.lock", ".lock"} - {str(path) for path in before}
    assert (store / "states" / f"{KEY}.partial").is_dir(), "it can be gone on with"
    assert before <= everything(store)


def test_what_is_in_use_stays(tmp_path) -> None:
    """Features that are computed without the store's lock, the mark of a driver that waits."""
    store = Store(tmp_path)
    (tmp_path / "features").mkdir()
    temporary = tmp_path / "features" / f".{KEY}.01234567"
    temporary.touch()
    shared = Shared.of(LibraryConfig(tmp_path))
    with shared.held(), kernel_lock(tmp_path / "features" / f".{KEY}.lock"):
        with store.writing():
            pass
        assert temporary.exists()
        assert shared.missing() == ""
    assert not shared.mark.exists()
    with store.writing():
        assert not temporary.exists()
    store.close()


def test_what_cannot_be_removed_stops_nobody(tmp_path, monkeypatch) -> None:
    store = Store(tmp_path)
    mark = tmp_path / f".ray-{KEY}"
    mark.touch()

    def refuse(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        with store.writing():
            pass
    assert mark.exists()
    store.close()
