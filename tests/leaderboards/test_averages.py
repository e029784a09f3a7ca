"""Averages over tasks: the same tasks in a column and a table, whatever one row lacks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from leaderboards import build_leaderboard, render, to_frame
from leaderboards.across import across_learners
from leaderboards.averages import columns, summary_tables
from leaderboards.figures import scaling_figure
from leaderboards.ranks import rank_tests
from leaderboards.resamples import Resamples
from leaderboards.standings import mean_standings

TASKS = [f"task-{number:02d}" for number in range(20)]
METHODS = {"random": -0.05, "k-centers": 0.0, "herding": 0.01, "tdd": 0.1}


@pytest.fixture(scope="module")
def whole() -> pd.DataFrame:
    from tests.leaderboards.conftest import synthetic_rows

    return synthetic_rows(TASKS, METHODS, ["probe", "tfidf-lr"], ["5", "10"], sets=4, seeds=2)


def without(rows: pd.DataFrame, kept: list[str], **of: str) -> pd.DataFrame:
    """Take rows of a method or learner away, but those of the kept tasks."""
    mine = np.logical_and.reduce([rows[name] == value for name, value in of.items()])
    return rows[~mine | rows.task.isin(kept)]


def one_set(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    mine = rows.method == method
    planned = rows.planned_sets.mask(mine, 1)
    return rows.assign(planned_sets=planned)[~mine | (rows["set_index"] == 0)]


def texts(tables) -> dict[str, dict[str, list[str]]]:
    return {t.title: {r[0].text: [e.text for e in r[1:]] for r in t.rows} for t in tables}


def summaries(rows: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    board = build_leaderboard(rows)
    return texts(summary_tables(board, columns(board)))


def test_a_method_with_half_of_the_tasks_changes_nobodys_average_or_places(whole) -> None:
    alone, beside = (summaries(f) for f in (without(whole, [], method="tdd"), whole))
    half = summaries(without(whole, TASKS[:10], method="tdd"))
    assert alone["probe"] != {k: v for k, v in beside["probe"].items() if k != "tdd"}
    for learner in ("probe", "tfidf-lr"):
        tdd = half[learner].pop("tdd")
        assert tdd[0] == "– (10 tasks)"
        assert tdd[1] in ("", "–")
        # The tests of a task go over all its methods: the counts may change, what is averaged not.
        for method, found in half[learner].items():
            assert [found[0], found[1], found[3], found[4]] == [
                alone[learner][method][place] for place in (0, 1, 3, 4)
            ]


def test_nor_does_it_change_the_ranks_of_the_diagram_or_the_standings(whole) -> None:
    alone = build_leaderboard(without(whole, [], method="tdd"))
    half = build_leaderboard(without(whole, TASKS[:10], method="tdd"))
    tests = [[test for _, test in rank_tests(b, columns(b))] for b in (alone, half)]
    assert tests[0] == tests[1]
    assert len(tests[0]) == 4
    standings = [texts(mean_standings(b, columns(b), Resamples())) for b in (alone, half)]
    assert [row[:2] for row in standings[0]["probe"].values()] == [
        row[:2] for row in standings[1]["probe"].values()
    ]


def test_the_csv_has_the_places_within_a_column_where_they_differ(whole) -> None:
    assert "column_rank_low" not in to_frame(build_leaderboard(whole))
    board = build_leaderboard(without(whole, TASKS[:10], method="tdd"))
    cells = to_frame(board)
    of_tdd = cells[cells.method == "tdd"]
    assert of_tdd.column_rank_low.isna().all()
    both = cells[(cells.method == "herding") & cells.task.isin(TASKS[:10])]
    assert (both.column_rank_high <= 3).all()
    assert (both.rank_high.astype(int) > both.column_rank_high).any()


def test_a_reference_that_lacks_a_task_leaves_it_out_for_all(whole) -> None:
    board = build_leaderboard(without(whole, TASKS[:15], method="k-centers"))
    assert {column.tasks for column in columns(board)} == {tuple(TASKS[:15])}
    assert "15 of 20, in each column those that k-centers has" in render(board, "md")


def test_without_a_reference_tasks_are_those_that_half_of_the_rows_have(whole) -> None:
    rows = without(whole, [], method="k-centers")
    rows = without(rows, TASKS[:5], method="tdd")
    board = build_leaderboard(without(rows, TASKS[:12], method="herding"))
    (column, *_) = columns(board)
    assert column.tasks == tuple(TASKS[:12])
    assert {key[0] for key in column.cells} == {"random", "herding", "full"}
    assert "in each column those that most methods have" in render(board, "md")


def test_where_no_row_has_the_tasks_there_is_no_average(make_rows) -> None:
    rows = make_rows("abcd", {"x": 0.0, "y": 0.0}, ["probe"], ["5"], full=False)
    split = without(without(rows, ["a", "b"], method="x"), ["c", "d"], method="y")
    board = build_leaderboard(split)
    assert columns(board) == []


# Partial cells and cells with one set


@pytest.mark.parametrize("how", ["partial", "one set"])
def test_rows_that_cannot_be_ranked_are_not_in_the_diagram(whole, mark, how) -> None:
    lost = (whole.method == "tdd") & (whole.task == TASKS[3]) & (whole["seed_index"] == 0)
    rows = mark(whole, lost, "failed") if how == "partial" else one_set(whole, "tdd")
    board = build_leaderboard(rows)
    tests = rank_tests(board, columns(board))
    assert len(tests) == 4
    for column, test in tests:
        assert set(test.average_ranks) == {"random", "k-centers", "herding"}
        assert ("tdd", "{}") in column.cells
        assert ("tdd", "{}") not in column.ranks


# Across learners


def test_learners_of_a_small_table_are_compared_on_one_task_each(make_rows) -> None:
    rows = make_rows(["sst2", "mrpc"], METHODS, ["minilm", "probe"], ["5"], sets=3, full=False)
    rows = without(rows, ["sst2"], learner="minilm")
    board = build_leaderboard(without(rows, ["mrpc"], method="tdd"))
    first, second = across_learners(board, columns(board), Resamples())
    assert (first.title, first.header) == ("DPC 5, sst2", ("method", "minilm", "probe"))
    assert (second.title, second.header) == ("DPC 5, mrpc", ("method", "probe"))
    assert [row[0].text for row in first.rows] == ["random", "k-centers", "herding"]
    assert [row[0].text for row in second.rows] == list(METHODS)
    for table, task in ((first, "sst2"), (second, "mrpc")):
        cell = board.cell(task, "probe", "5", ("herding", "{}"))
        low, high = 100 * cell.summary.ci_low, 100 * cell.summary.ci_high
        row = next(r for r in table.rows if r[0].text == "herding")
        assert row[-1].text == f"{100 * cell.mean:.1f} ({low:.1f} to {high:.1f})"


def test_a_small_table_that_lacks_nothing_is_of_means(make_rows) -> None:
    board = build_leaderboard(make_rows(["sst2", "mrpc"], METHODS, dpcs=["5"], sets=3))
    (table,) = across_learners(board, columns(board), Resamples())
    assert table.title == "DPC 5"
    cells = [board.cell(t, "probe", "5", ("tdd", "{}")).mean for t in ("sst2", "mrpc")]
    row = next(r for r in table.rows if r[0].text == "tdd")
    assert row[2].value == pytest.approx(np.mean(cells))


def test_a_learner_with_a_few_tasks_of_a_wide_suite_has_a_table_that_names_them(whole) -> None:
    board = build_leaderboard(without(whole, TASKS[:2], learner="probe"))
    tables = across_learners(board, columns(board), Resamples())
    assert [(t.title, t.header[1:]) for t in tables[:2]] == [
        ("DPC 5", ("tfidf-lr",)),
        ("DPC 5, 2 of 20 tasks: task-00, task-01", ("probe",)),
    ]
    board = build_leaderboard(without(whole, TASKS[1:], learner="probe"))
    titles = [t.title for t in across_learners(board, columns(board), Resamples())]
    assert titles[1] == "DPC 5, 19 of 20 tasks: all but task-00"


def test_a_curve_of_means_is_over_the_same_tasks_at_each_budget(whole) -> None:
    board = build_leaderboard(without(whole, TASKS[:12], dpc="10"))
    assert {len(column.tasks) for column in columns(board)} == {12, 20}
    assert scaling_figure(board, columns(board), Resamples()) is None
