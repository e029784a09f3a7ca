"""A bundle of a finished suite, to be spoiled, and what is said of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from forger import Bundle

from benchmark.bundles.arrays import save_predictions
from benchmark.bundles.set_checks import SIZES
from benchmark.bundles.write import write_bundle
from benchmark.core.distilled import DistilledSet
from benchmark.core.keys import run_key
from benchmark.core.learner import Run, build_learner
from benchmark.core.library import Library, LibraryConfig
from benchmark.core.records import CellId
from benchmark.frame import FACTS
from benchmark.predictions import file_name
from benchmark.set_facts import set_facts
from benchmark.store import Store
from evaluators.scoring import score
from leaderboards.rows import CELL


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


@pytest.fixture
def small(bundle: Bundle) -> Bundle:
    """One cell of a quick learner: three sets, two seeds."""
    rows = bundle.rows()
    mine = (rows.task == "mood") & (rows.learner == "tfidf-lr") & (rows.dpc == "2")
    bundle.keep(rows[mine])
    return bundle


@pytest.fixture
def library(world, tmp_path) -> Library:
    return Library(LibraryConfig(tmp_path / "none", world.assets, True, (world.tasks,)))


@pytest.fixture
def scored(library) -> Callable[..., None]:
    """Put predictions into the rows of a cell, and all scores that they give."""

    def put(bundle: Bundle, predicted: dict[str, np.ndarray]) -> None:
        rows, labels = bundle.rows(), np.asarray(library.task("mood").test.labels)
        path = bundle.folder / "predictions" / file_name(CellId(*rows[CELL].iloc[0]))
        save_predictions({key: array.astype(np.uint8) for key, array in predicted.items()}, path)
        for key, array in predicted.items():
            for name, value in score("accuracy", array, labels, 2).items():
                rows.loc[rows.run_key == key, name] = value
        rows["score"] = rows.accuracy
        bundle.keep(rows)

    return put


@pytest.fixture
def made_of(library, scored) -> Callable[..., None]:
    """Put sets of given texts into the cell, with everything that truly follows from them.

    The method is one that nobody has registered, so that no set key speaks against them.
    """

    def put(
        bundle: Bundle, texts: Sequence[Sequence[str]], labels: Sequence[int], **values: object
    ) -> None:
        data, learner = library.task("mood"), build_learner("tfidf-lr")
        rows, predicted = bundle.rows(), {}
        rows = rows.assign(**{"method": "mine", "params": "{}", **values})
        shutil.rmtree(bundle.folder / "sets")
        (bundle.folder / "sets").mkdir()
        for index in range(3):
            made = DistilledSet.of_texts(
                {"text": texts[index % len(texts)]}, np.array(labels), data.task.classes
            )
            if not (folder := bundle.folder / "sets" / made.content_hash).exists():
                made.save(folder)
            found = set_facts(made, data, library)
            key = run_key(
                set_hash=made.content_hash, learner="tfidf-lr", recipe=learner.params(),
                learner_version=learner.version, models={}, test=data.test.fingerprint,
                metric="accuracy", seed=None,
            ).digest  # fmt: skip
            facts = {name: float(made.size()[size]) for name, size in SIZES.items()}
            facts |= {name: float(found[fact]) for name, fact in FACTS.items() if fact in found}
            facts |= {"set_hash": made.content_hash, "run_key": key}
            for name, value in facts.items():
                rows.loc[rows["set_index"] == index, name] = value
            outcome = next(learner.fit_predict([Run(made, 0)], library.test_texts("mood"), {}))
            predicted[key] = outcome.scores.argmax(axis=1)
        bundle.put(rows, statistics=False)
        scored(bundle, predicted)

    return put
