"""Sets of embeddings through the whole harness: native rows, structural skips, what is shared."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from benchmark.core.journal import Journal
from benchmark.store import Store

LEARNER = "transformer@model=tiny@steps=2"
TOY = {
    "steps": 2, "batch": 2, "length": 4, "evaluate_every": 1, "selection_rows": 4,
    "precision": "float32", "learner": "tiny",
}  # fmt: skip


@pytest.fixture
def flags(world, tmp_path):
    """Flags of a small run with the world's tiny BERT."""
    store = tmp_path / "store"
    settings = [
        f"--set={method}.{name}={value}"
        for method in ("tdd", "tdd-text")
        for name, value in TOY.items()
    ]
    small = ["--suite", "toy", "--tasks-only", "mood", "--dpc", "2", "--sets", "2", "--seeds", "2"]
    where = ["--assets", world.assets, "--tasks", world.tasks, "--store", store, "--offline"]
    return [*small, *settings, *where], store


def test_learners_of_the_same_table_train_natively_and_others_are_skipped(cli, flags, rows_in):
    given, store = flags
    learners = f"{LEARNER},{LEARNER}@native=false,tfidf-lr"
    done = cli("run", *given, "--methods", "tdd,tdd-text", "--learners", learners)
    assert done.code == 0, done.err  # a structural skip is no gap
    rows = rows_in(store)
    counts = rows[rows.status == "ok"].groupby(["method", "learner"]).size()
    assert set(counts) == {4}
    assert len(counts) == 5
    skipped = rows[rows.status == "skipped"]
    assert set(zip(skipped.method, skipped.learner, strict=True)) <= {("tdd", "tfidf-lr")}
    table = cli("leaderboard", "--suite", "toy", "--format", "csv", *given[-7:])
    assert table.code == 0, table.err
    board = pd.read_csv(store / "reports" / "toy.csv")
    cell = board[(board.method == "tdd") & (board.learner == "tfidf-lr")].iloc[0]
    assert cell.status == "skipped"
    assert cell.reason == "embedding-level set"
    native = board[(board.method == "tdd") & (board.learner == LEARNER)].iloc[0]
    assert native.set_floats == 4 * 4 * 32 + 2


def test_a_bundle_says_that_embeddings_cannot_be_searched_for_test_rows(cli, flags, tmp_path):
    given, _ = flags
    whole = [*given[:6], "--sets", "3", *given[8:]]  # as many as the protocol wants
    done = cli("run", *whole, "--methods", "tdd,tdd-text", "--learners", f"{LEARNER},tfidf-lr")
    assert done.code == 0, done.err
    where = given[-7:]
    assert cli("submit", "--suite", "toy", "--out", tmp_path / "b", *where).code == 0
    told = cli("submit", "--validate", tmp_path / "b", *where)
    assert told.code == 0, told.out
    assert "note: task mood: 3 sets are embeddings; whether they were made from test" in told.out
    assert "predictions of 1 cells are those that training again gives" in told.out


def test_words_are_looked_up_in_embeddings_that_were_learned_once(cli, flags):
    given, store = flags
    assert cli("run", *given, "--methods", "tdd-text,tdd", "--learners", LEARNER).code == 0
    parts = [p for p in (store / "states").iterdir() if p.name.startswith("part-")]
    assert len(parts) == 2  # one for each of two sets, for both methods
    opened = Store(store)
    records = list(opened.sets().values())
    opened.close()
    assert len(records) == 4
    took = {round(sum(Journal(part).phases().values()), 3) for part in parts}
    for record in records:
        assert round(record.facts["note_seconds"], 3) in took
        assert record.facts["distil_seconds"] >= record.facts["note_seconds"]
        assert "note_best_step" in record.facts
    described = json.loads((parts[0] / "state.json").read_text())
    assert described["part"] == "embeddings"
