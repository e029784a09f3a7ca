"""A bundle of a finished suite, to be spoiled, and what is said of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from forger import Bundle

from benchmark.bundles.write import write_bundle
from benchmark.store import Store


@pytest.fixture(scope="module")
def made(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    store = Store(Path(shutil.copytree(finished, root / "store")))
    for table in ("rows", "cells"):  # one method is enough to forge
        store.database.execute(f"DELETE FROM {table} WHERE method <> 'random'")
    assert write_bundle(store, "toy", root / "bundle") == (8, [])
    store.close()
    return root / "bundle"


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Bundle:
    return Bundle(Path(shutil.copytree(made, tmp_path / "bundle")))


@pytest.fixture
def judge(cli, world, tmp_path):
    """Validate a bundle; returns its exit code and the problems that were told."""

    def call(bundle: Bundle, *more: str | Path) -> tuple[int, list[str], str]:
        told = cli("submit", "--validate", bundle.folder, *more, *world.flags(tmp_path / "none"))
        lines = told.out.splitlines()
        return told.code, [x[9:] for x in lines if x.startswith("problem: ")], told.out + told.err

    return call
