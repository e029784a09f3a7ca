"""A task with groups through the whole harness: figures of every method, sets of features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from benchmark.core.records import CellId
from benchmark.frame import rows_frame
from benchmark.predictions import Predictions
from benchmark.schema import CELL
from benchmark.store import Store

LEARNER = "feature-mlp@encoder=tiny@hidden=8@steps=5"
FAIR = {"encoder": "tiny", "hidden": 8, "steps": 2, "batch": 8, "passes": 2, "evaluate_every": 1}


@pytest.fixture
def grouped(world, tmp_path, table_writer):
    """The tiny world with a group for each row of `mood`."""
    mine = world.copy(tmp_path)
    folder = mine.assets / "datasets" / "toy" / "mood" / "default"
    for split in ("train", "test"):
        table = pd.read_parquet(folder / f"{split}.parquet")
        groups = np.array(["north", "south", "west"])[np.arange(len(table)) % 3]
        table_writer(mine.assets, "toy/mood", split, table.assign(region=groups))
    mine.edit('dataset = "toy/mood"', 'dataset = "toy/mood"\ngroup = "region"')
    return mine


def gap_and_interval(world, store, *cell):
    """Mean TPR gap over two sets and its t-interval, from the predictions that are kept."""
    opened = Store(store)
    rows = rows_frame(opened, "toy")
    rows = rows[(rows[["task", "method", "learner"]] == cell).all(axis=1)]
    predicted = Predictions(opened).load(CellId(*rows[list(CELL)].iloc[0]))
    opened.close()
    test = pd.read_parquet(world.assets / "datasets" / "toy" / cell[0] / "default" / "test.parquet")
    gaps = []
    for key in rows.run_key:
        right = pd.Series(predicted[key] == test.label)
        rates = right.groupby([test.label, test.region]).mean().unstack()
        gaps.append(float(np.sqrt(((rates.max(axis=1) - rates.min(axis=1)) ** 2).mean())))
    one, two = pd.Series(gaps).groupby(rows["set_index"].to_numpy()).mean()
    mean, half = (one + two) / 2, abs(one - two) / 2 * t.ppf(0.975, 1)
    return mean, mean - half, mean + half


def test_every_method_has_figures_of_groups_and_features_are_read_by_their_own(
    cli, grouped, tmp_path
):
    flags = grouped.flags(tmp_path / "store")
    small = ["--suite", "toy", "--dpc", "2", "--sets", "2", "--seeds", "2"]
    settings = [f"--set=fair-tdd.{name}={value}" for name, value in FAIR.items()]
    chosen = ["--methods", "random,fair-tdd", "--learners", f"tfidf-lr,{LEARNER}"]
    done = cli("run", *small, *chosen, *settings, *flags)
    assert done.code == 0, done.err
    assert cli("leaderboard", "--suite", "toy", "--format", "csv", *flags).code == 0
    board = pd.read_csv(tmp_path / "store" / "reports" / "toy.csv")
    board = board.set_index(["task", "method", "learner"])
    for cell in (("mood", "random", "tfidf-lr"), ("mood", "random", LEARNER),
                 ("mood", "fair-tdd", LEARNER)):  # fmt: skip
        line = board.loc[cell]
        assert line.status == "ok"
        assert 0 <= line.worst_group <= line.accuracy
        found = line.tpr_gap, line.tpr_gap_low, line.tpr_gap_high
        wanted = gap_and_interval(grouped, tmp_path / "store", *cell)
        assert found == pytest.approx(wanted, abs=1e-6)
        assert line.tpr_gap > 0
    assert board.loc[("mood", "fair-tdd", "tfidf-lr")].reason == "embedding-level set"
    assert board.loc[("pair", "fair-tdd", LEARNER)].reason == "a task without groups"
    assert np.isnan(board.loc[("pair", "random", "tfidf-lr")].tpr_gap)


def test_a_group_that_is_missing_is_found_before_work_starts(cli, grouped, tmp_path, table_writer):
    folder = grouped.assets / "datasets" / "toy" / "mood" / "default"
    table = pd.read_parquet(folder / "test.parquet")
    table.loc[7, "region"] = None
    table_writer(grouped.assets, "toy/mood", "test", table)
    done = cli("run", "--suite", "toy", *grouped.flags(tmp_path / "store"))
    assert done.code == 2
    assert "split 'test', row 7, column 'region': no group" in done.message


def test_groups_that_are_named_or_changed_later_are_scored_anew(cli, grouped, tmp_path, rows_in):
    store = tmp_path / "store"
    flags = ["--suite", "toy", "--tasks-only", "mood", "--dpc", "2", "--sets", "1", "--seeds", "1"]
    flags += ["--methods", "random", "--learners", "tfidf-lr", *grouped.flags(store)]
    grouped.edit('\ngroup = "region"', "")
    assert cli("run", *flags).code == 0
    plain = rows_in(store)
    grouped.edit('dataset = "toy/mood"', 'dataset = "toy/mood"\ngroup = "region"')
    assert "(0 sets distilled, 1 trainings" in cli("run", *flags).out
    board = pd.read_csv(store / "reports" / "toy.csv")
    assert np.isfinite(board.tpr_gap).all()
    grouped.edit('group = "region"', 'group = "label"')
    assert "(0 sets distilled, 1 trainings" in cli("run", *flags).out
    other = pd.read_csv(store / "reports" / "toy.csv")
    assert (other.worst_group != board.worst_group).all()
    assert list(rows_in(store).score) == list(plain.score)


def test_a_set_that_was_made_with_groups_is_made_anew_with_others(cli, grouped, tmp_path):
    """A method that reads groups has them in its sets' keys; all others keep their sets."""
    flags = ["--suite", "toy", "--tasks-only", "mood", "--dpc", "2", "--sets", "1", "--seeds", "1"]
    flags += ["--learners", LEARNER, *grouped.flags(tmp_path / "store")]
    flags += [f"--set=fair-tdd.{name}={value}" for name, value in FAIR.items()]
    assert cli("run", *flags, "--methods", "random,fair-tdd").code == 0
    assert "to do: 0 sets" in cli("plan", *flags, "--methods", "random,fair-tdd").out
    grouped.edit('group = "region"', 'group = "label"')
    assert "to do: 1 sets" in cli("plan", *flags, "--methods", "fair-tdd").out
    flags = [flag for flag in flags if not flag.startswith("--set=fair-tdd")]
    assert "to do: 0 sets" in cli("plan", *flags, "--methods", "random").out
