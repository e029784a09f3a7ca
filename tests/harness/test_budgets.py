"""From DPC or a ratio to rows, and from a protocol to sets and seeds."""

from __future__ import annotations

import json
import sqlite3

import pandas as pd
import pytest


def made(store) -> pd.DataFrame:
    """One line for each set of a store: its method, rows and index."""
    found = sqlite3.connect(store / "rows.sqlite").execute("SELECT ingredients, facts FROM sets")
    return pd.DataFrame([{**json.loads(a), **json.loads(b)} for a, b in found])


@pytest.mark.parametrize(
    ("ratio", "mood", "pair"),
    [
        ("0.1", [4, 4], [3, 3, 3]),  # of 80 and of 90 rows
        ("0.05", [2, 2], [2, 1, 1]),  # 4 rows; 4.5 is rounded to even
        ("0.001", [1, 1], [1, 1, 1]),  # at least one each
        ("1", [40, 40], [30, 30, 30]),
    ],
)
def test_a_ratio_is_spread_over_the_classes(world, tmp_path, cli, ratio, mood, pair) -> None:
    flags = ["--methods", "random", "--learners", "coin", "--sets", "1", *world.flags(tmp_path)]
    assert cli("run", "--suite", "toy", "--ratio", ratio, *flags).code == 0
    assert sorted(made(tmp_path).dpc) == sorted([mood, pair])
    table = pd.read_csv(tmp_path / "reports" / "toy.csv").set_index("task")
    assert table.dpc["mood"] == pytest.approx(sum(mood) / 2, abs=1e-3)
    assert table.dpc["pair"] == pytest.approx(sum(pair) / 3, abs=1e-3)


def test_two_ratios_that_come_to_the_same_rows_are_one_column(world, tmp_path, cli) -> None:
    flags = ["--methods", "random", "--learners", "coin", *world.flags(tmp_path)]
    planned = cli("plan", "--suite", "toy", "--ratio", "0.001,0.002", *flags)
    assert planned.code == 0
    cells = [line for line in planned.out.splitlines() if line.startswith(("mood", "pair"))]
    assert [line.split()[1] for line in cells] == ["coin", "coin"]
    assert "2 cells" in planned.out


def test_dpc_and_ratio_that_ask_for_the_same_share_the_sets(world, tmp_path, cli) -> None:
    flags = ["--tasks-only", "mood", "--methods", "random", "--learners", "coin"]
    flags += world.flags(tmp_path)
    assert cli("run", "--suite", "toy", "--dpc", "4", *flags).code == 0
    again = cli("run", "--suite", "toy", "--ratio", "0.1", *flags)
    assert "(0 sets distilled, 0 trainings; the rest was there)" in again.out


@pytest.mark.parametrize(("deterministic", "sets", "seeds"), [("resample", 3, 2), ("once", 1, 6)])
def test_a_deterministic_method_makes_resampled_sets_or_one(
    world, tmp_path, cli, rows_in, deterministic, sets, seeds
) -> None:
    flags = ["--methods", "herding,random,full", "--learners", "coin", "--dpc", "2"]
    told = cli(
        "run", "--suite", "toy", *flags, "--deterministic", deterministic, *world.flags(tmp_path)
    )
    assert told.code == 0
    rows = rows_in(tmp_path).query("task == 'mood'").set_index("method")
    assert len(rows.loc["herding"]) == len(rows.loc["random"]) == 6
    assert rows.loc["herding", "set_index"].nunique() == sets
    assert rows.loc["herding", "seed_index"].nunique() == seeds
    assert rows.loc["random", "set_index"].nunique() == 3
    full = rows.loc["full"]
    assert list(full.dpc) == ["0", "0"]
    assert full["set_index"].nunique() == 1
    assert set(full.set_rows) == {80}  # without the blank row
    cli(
        "leaderboard", "--suite", "toy", "--format", "csv", "--reference", "random",
        *world.flags(tmp_path),
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "reports" / "toy.csv").query("task == 'mood'")
    table = table.set_index("method")
    assert table.n_sets["herding"] == sets
    assert table.n_runs["herding"] == 6
    assert table.dpc["full"] == 0
    assert pd.isna(table.p_sets["herding"]) == (deterministic == "once")


def test_switching_between_resample_and_once_never_mixes_rows(
    world, tmp_path, cli, rows_in
) -> None:
    flags = ["--tasks-only", "mood", "--methods", "herding", "--learners", "coin", "--dpc", "2"]
    for how, sets in (("resample", 3), ("once", 1), ("resample", 3)):
        assert cli(
            "run", "--suite", "toy", *flags, "--deterministic", how, *world.flags(tmp_path)
        ).code == 0  # fmt: skip
        rows = rows_in(tmp_path)
        assert len(rows) == 6
        assert rows["set_index"].nunique() == sets


def test_a_protocol_is_what_its_flags_make_of_it(world, tmp_path, cli) -> None:
    plan = ["plan", "--suite", "toy", "--methods", "random", "--learners", "coin"]
    flags = world.flags(tmp_path)
    assert "4 cells of 3 sets x 2 seeds; to do: 12 sets, 24 trainings" in cli(*plan, *flags).out
    assert "2 cells of 3 sets x 1 seeds; to do: 6 sets, 6 trainings" in cli(
        *plan, "--protocol", "quick", *flags
    ).out  # fmt: skip
    standard = cli(*plan, "--protocol", "standard", "--dpc", "5", *flags)
    assert "2 cells of 20 sets x 5 seeds; to do: 40 sets, 200 trainings" in standard.out
    assert not list(tmp_path.iterdir())
