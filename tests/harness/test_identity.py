"""Keys decide the work: what is done is not done again, what changed is, order means nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.core.records import CellId
from benchmark.predictions import Predictions
from benchmark.store import Store

SETS, SEEDS = 3, 2


def database(store: Path) -> sqlite3.Connection:
    return sqlite3.connect(store / "rows.sqlite")


def predictions(store: Path, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Predicted classes of every run key, from the cells' files."""
    opened = Store(store, create=False)
    found: dict[str, np.ndarray] = {}
    for cell in frame[["task", "method", "params", "dpc", "learner"]].drop_duplicates().values:
        found |= Predictions(opened).load(CellId("toy", *cell))
    opened.close()
    return found


def test_every_cell_has_sets_times_seeds_rows(finished, rows_in) -> None:
    rows = rows_in(finished)
    cells = 2 * 3 * 2 * 2  # tasks, methods, DPC, learners
    assert len(rows) == cells * SETS * SEEDS
    assert (rows.status == "ok").all()
    assert rows.score.between(-1, 1).all()
    assert set(rows.dpc) == {"2", "4"}
    assert (rows.set_rows == rows.dpc.astype(int) * rows.task.map({"mood": 2, "pair": 3})).all()
    assert (rows.copies == 1).all()  # selectors return training rows


def test_a_deterministic_learner_trains_once_a_set_and_counts_in_full(finished, rows_in) -> None:
    rows = rows_in(finished)
    keys = rows.groupby(["learner", "task", "method", "dpc", "set_index"]).run_key.nunique()
    assert (keys["tfidf-lr"] == 1).all()
    assert (keys["tiny-bert"] == SEEDS).all()


def test_the_same_command_again_does_nothing(world, store, cli, rows_in) -> None:
    before = rows_in(store)
    runs = database(store).execute("SELECT run_key, created FROM runs").fetchall()
    again = cli("run", "--suite", "toy", *world.flags(store))
    assert again.code == 0
    assert "(0 sets distilled, 0 trainings; the rest was there)" in again.out
    assert database(store).execute("SELECT run_key, created FROM runs").fetchall() == runs
    pd.testing.assert_frame_equal(rows_in(store), before)
    assert (store / "reports" / "toy.md").is_file()
    table = pd.read_csv(store / "reports" / "toy.csv")
    assert (table.n_runs == SETS * SEEDS).all()
    assert (table.n_sets == SETS).all()


def test_the_order_of_flags_changes_nothing(world, finished, tmp_path, cli, rows_in) -> None:
    flags = ["--learners", "tiny-bert,tfidf-lr", "--dpc", "4,2", "--methods", "herding,random"]
    told = cli("run", *flags, *world.flags(tmp_path / "s"), "--seeds", "2", "--suite", "toy")
    assert told.code == 0
    expected = rows_in(finished).query("method != 'k-centers'").reset_index(drop=True)
    pd.testing.assert_frame_equal(rows_in(tmp_path / "s"), expected)


def test_a_run_alone_gives_the_same_bits(world, finished, tmp_path, cli, rows_in) -> None:
    alone = tmp_path / "alone"
    flags = ["--methods", "k-centers", "--learners", "tiny-bert", "--dpc", "4"]
    cli("run", "--suite", "toy", "--tasks-only", "pair", *flags, *world.flags(alone))
    rows, all_rows = rows_in(alone), rows_in(finished)
    assert len(rows) == SETS * SEEDS
    expected = all_rows[all_rows.run_key.isin(rows.run_key)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, expected)
    there = predictions(finished, all_rows)
    for key, predicted in predictions(alone, rows).items():
        assert np.array_equal(predicted, there[key])


def test_two_workers_give_the_rows_of_one_process(world, finished, tmp_path, cli, rows_in) -> None:
    told = cli("run", "--suite", "toy", "--workers", "2", *world.flags(tmp_path / "two"))
    assert told.code == 0, told.err
    pd.testing.assert_frame_equal(rows_in(tmp_path / "two"), rows_in(finished))


def test_methods_meet_the_same_training_seeds(finished, rows_in) -> None:
    rows = rows_in(finished).query("learner == 'tiny-bert'")
    found = database(finished).execute("SELECT run_key, ingredients FROM runs")
    seeds = {key: json.loads(text)["seed"] for key, text in found}
    rows = rows.assign(seed=rows.run_key.map(seeds))
    axes = ["task", "set_index", "seed_index"]
    assert (rows.groupby(axes).seed.nunique() == 1).all()
    assert rows.groupby("task").seed.nunique().eq(SETS * SEEDS).all()
    assert rows.seed.nunique() == 2 * SETS * SEEDS


def test_deterministic_methods_see_the_same_resampled_pools(world, tmp_path, cli) -> None:
    flags = ["--methods", "first,herding,random", "--dpc", "2", "--tasks-only", "mood"]
    told = cli("run", "--suite", "toy", *flags, "--learners", "coin", *world.flags(tmp_path))
    assert told.code == 0
    found = database(tmp_path).execute("SELECT ingredients FROM sets").fetchall()
    made = pd.DataFrame([json.loads(text) for (text,) in found])
    pools = made.set_index(["method", "set_index"]).pool
    for index in range(SETS):
        assert pools["first", index] == pools["herding", index]
    assert pools["first"].nunique() == SETS
    assert pools["random"].nunique() == 1  # the whole pool
    assert not set(pools["first"]) & set(pools["random"])


def test_a_new_learner_never_distils_again(world, store, cli, rows_in) -> None:
    told = cli("run", "--suite", "toy", "--learners", "tiny-probe,tfidf-nb", *world.flags(store))
    assert told.code == 0
    assert "(0 sets distilled, " in told.out
    rows = rows_in(store)
    assert set(rows.groupby(["task", "method", "dpc", "set_index"]).set_key.nunique()) == {1}


def test_an_edited_recipe_trains_again_and_is_named(world, store, tmp_path, cli, rows_in) -> None:
    mine = world.copy(tmp_path / "mine")
    mine.edit("steps = 4", "steps = 3")
    planned = cli("plan", "--suite", "toy", *mine.flags(store))
    assert planned.code == 0
    assert "to do: 0 sets, 72 trainings" in planned.out
    words = [line.split() for line in planned.out.splitlines()]
    stale = [line for line in words if line[1:2] == ["tiny-bert"]]
    assert stale == [["mood", "tiny-bert", "6", "36"], ["pair", "tiny-bert", "6", "36"]]
    why = cli("plan", "--suite", "toy", "--why", "mood/random/2/tiny-bert", *mine.flags(store))
    assert "mood / random / DPC 2 / tiny-bert" in why.out
    assert "stale" in why.out
    assert "recipe.steps: 4 -> 3" in why.out
    before = rows_in(store)
    again = cli("run", "--suite", "toy", *mine.flags(store))
    assert "(0 sets distilled, 72 trainings; the rest was there)" in again.out
    after = rows_in(store)
    assert len(after) == len(before)
    changed = after.run_key != before.run_key
    assert (changed == (after.learner == "tiny-bert")).all()


def test_an_edited_data_set_is_distilled_again_and_is_named(
    world, store, tmp_path, cli, rows_in, table_writer
) -> None:
    mine = world.copy(tmp_path / "mine")
    path = mine.assets / "datasets" / "toy" / "mood" / "default" / "train.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "text"] = "a story that is very much its own"
    table_writer(mine.assets, "toy/mood", "train", table)
    flags = ["--suite", "toy", "--learners", "tfidf-lr", *mine.flags(store)]
    planned = cli("plan", *flags)
    assert "to do: 18 sets, 18 trainings" in planned.out  # of `mood` alone
    why = cli("plan", *flags, "--why", "mood/herding/4/tfidf-lr")
    assert "what changed:" in why.out
    assert "  pool: " in why.out
    again = cli("run", *flags)
    assert again.code == 0
    assert "18 sets distilled" in again.out
    rows = rows_in(store).query("learner == 'tfidf-lr'")
    assert rows.groupby(["task", "method", "dpc"]).set_key.nunique().eq(SETS).all()


def test_a_changed_parameter_is_named(world, tmp_path, cli) -> None:
    flags = ["--suite", "toy", "--tasks-only", "mood", "--dpc", "2", "--sets", "2", "--seeds", "1"]
    flags += ["--methods", "eda", "--learners", "tfidf-nb", *world.flags(tmp_path)]
    flags += ["--set", "eda.synonyms=none"]
    why = [*flags, "--why", "mood/eda/2/tfidf-nb"]
    assert cli("run", *flags, "--set", "eda.times=3").code == 0
    assert "what changed" not in cli("plan", *why, "--set", "eda.times=3").out
    told = cli("plan", *why, "--set", "eda.times=4").out
    assert ": to do\n" in told
    assert "the store has this cell with other parameters: alpha=0.1, " in told
    assert "what changed:\n  params.times: 3 -> 4\nset 0 is not made" in told
    assert cli("run", *flags).code == 0
    # The first cell differs in both, the second in one.
    nearer = cli("plan", *why, "--set", "eda.alpha=0.3").out
    assert "what changed:\n  params.alpha: 0.1 -> 0.3\nset 0 is not made" in nearer


@pytest.mark.parametrize("interrupted", [False, True])
def test_rows_of_old_keys_never_stand_beside_new_ones(
    world, store, tmp_path, cli, rows_in, monkeypatch, interrupted
) -> None:
    """Neither after fewer sets than before, nor after a kill in the middle."""
    mine = world.copy(tmp_path / "mine")
    mine.edit("steps = 4", "steps = 3")
    before = set(rows_in(store).query("learner == 'tiny-bert'").run_key)
    if interrupted:
        from benchmark.runner import Runner

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Runner, "_finish", killed)
    cli("run", "--suite", "toy", "--sets", "2", *mine.flags(store))
    rows = rows_in(store).query("learner == 'tiny-bert' and set_index >= 0")
    touched = rows[rows.task == "mood"] if interrupted else rows
    assert not before & set(touched.run_key)


def test_a_copied_set_is_seen_as_a_copy(world, tmp_path, cli, rows_in) -> None:
    """`first` twice, once as a score file: the trainings are shared, not repeated."""
    store = tmp_path / "s"
    flags = ["--learners", "coin", *world.flags(store)]
    once = ["--deterministic", "once", "--sets", "1", "--dpc", "2", "--tasks-only", "mood"]
    assert cli("run", "--suite", "toy", "--methods", "first", *once, *flags).code == 0
    made = list((store / "sets").rglob("rows.jsonl"))
    assert len(made) == 1
    shutil.copy(made[0], tmp_path / "copy.jsonl")
    scored = cli(
        "score", tmp_path / "copy.jsonl", "--task", "mood", "--name", "copy", "--seeds", "2", *flags
    )
    assert scored.code == 0
    first, copy = rows_in(store), rows_in(store, "submitted")
    assert list(first.set_hash) == list(copy.set_hash)
    assert list(first.run_key) == list(copy.run_key)
    assert database(store).execute("SELECT COUNT(*) FROM runs").fetchone() == (2,)
    opened = Store(store, create=False)
    cell = CellId("submitted", "mood", "copy", "{}", "2", "coin")
    assert set(Predictions(opened).load(cell)) == set(copy.run_key)


def test_lost_predictions_are_made_again(world, store, cli, rows_in) -> None:
    before = rows_in(store)
    whole = predictions(store, before)
    files = sorted((store / "predictions" / "toy").glob("*.npz"))
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:200])
    again = cli("run", "--suite", "toy", *world.flags(store))
    assert again.code == 0, again.err
    assert "(0 sets distilled, 0 trainings" not in again.out
    pd.testing.assert_frame_equal(rows_in(store), before)
    made = predictions(store, before)
    assert made.keys() == whole.keys()
    assert all(np.array_equal(made[key], whole[key]) for key in whole)
    assert database(store).execute("SELECT COUNT(*) FROM predictions").fetchone() == (0,)


def test_a_table_keeps_its_order_however_its_cells_were_run(world, tmp_path, cli) -> None:
    store = tmp_path / "s"
    flags = ["--suite", "toy", "--dpc", "2", "--sets", "2", "--seeds", "1", *world.flags(store)]
    for task, methods, learners in (
        ("pair", "herding", "tfidf-nb"),
        ("mood", "k-centers,random", "tfidf-svm,tfidf-lr"),
        ("mood", "herding", "tfidf-nb,tfidf-lr"),
    ):
        told = cli(
            "run", *flags, "--tasks-only", task, "--methods", methods, "--learners", learners
        )
        assert told.code == 0, told.err
    table = pd.read_csv(store / "reports" / "toy.csv")
    assert list(dict.fromkeys(table.task)) == ["mood", "pair"]
    mood = table[table.task == "mood"]
    assert list(dict.fromkeys(mood.learner)) == ["tfidf-lr", "tfidf-nb", "tfidf-svm"]
    first = mood[mood.learner == "tfidf-lr"]
    assert list(first.method) == ["random", "k-centers", "herding"]
