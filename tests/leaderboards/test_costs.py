"""Costs and contents: no column over other tasks than its neighbour, and what figures include."""

from __future__ import annotations

import re

import numpy as np
import pytest

from leaderboards import build_leaderboard, render
from leaderboards.costs import repeats_table, set_table
from leaderboards.sections import costs, precision, setup

TASKS = [f"task-{number:02d}" for number in range(14)]
METHODS = {"random": -0.05, "k-centers": 0.0}


def texts(table) -> list[list[str]]:
    return [[entry.text for entry in row] for row in table.rows]


def place(table, name: str) -> int:
    return [head.replace("\n", " ") for head in table.header].index(name)


def with_tokens(rows, tasks):
    """Words of 10 and 20 rows by task; tokens are known of some tasks only, as of older rows."""
    return rows.assign(set_tokens=np.where(rows.task.isin(tasks), 2.0 * rows["set_words"], np.nan))


def test_a_small_suite_has_a_line_for_each_task(make_rows) -> None:
    rows = make_rows(["sst2", "mrpc"], METHODS, ["probe"], ["5"], full=False, sets=2)
    words = rows["set_words"].mask(rows.task == "mrpc", 600.0)
    table = set_table(build_leaderboard(with_tokens(rows.assign(set_words=words), ["mrpc"])))
    assert (table.header[:3], table.left) == (("task", "DPC", "method"), 3)
    assert [line[:3] for line in texts(table)] == [
        ["sst2", "5", "random"], ["sst2", "5", "k-centers"],
        ["mrpc", "5", "random"], ["mrpc", "5", "k-centers"],
    ]  # fmt: skip
    words, tokens = place(table, "words"), place(table, "tokens")
    assert [(line[words], line[tokens]) for line in texts(table)[1:3]] == [
        ("120", "–"), ("600", "1,200"),
    ]  # fmt: skip
    assert table.rows[0][tokens].value is None


def test_a_wide_suite_blanks_a_figure_that_one_of_a_rows_tasks_lacks(make_rows) -> None:
    rows = make_rows(TASKS, METHODS, ["probe"], ["5"], full=False, sets=2)
    part = with_tokens(rows, TASKS[1:])
    part = part[(part.method == "k-centers") | (part.task != TASKS[0])]
    table = set_table(build_leaderboard(part))
    assert table.header[:3] == ("method", "DPC", "tasks")
    tokens = place(table, "tokens")
    lines = {line[0]: line for line in texts(table)}
    assert lines["random"][2] == "13"
    assert lines["random"][tokens] == "240"
    assert lines["k-centers"][2] == "14"
    assert lines["k-centers"][tokens] == "–"
    assert "tasks" not in set_table(build_leaderboard(rows)).header


def test_one_task_needs_no_column_for_it(make_rows) -> None:
    table = set_table(build_leaderboard(make_rows(["sst2"], METHODS, sets=2)))
    assert table.header[:2] == ("method", "DPC")
    assert texts(table)[-1][:2] == ["full", "all"]


@pytest.mark.parametrize(
    ("tasks", "said"), [(("a", "b"), "a line for each task"), (TASKS, "means")]
)
def test_the_sentence_says_what_lines_are_and_what_the_peak_includes(
    make_rows, tasks, said
) -> None:
    (sentence,) = costs(build_leaderboard(make_rows(tasks, METHODS, ["probe"], ["5"]))).sentences
    assert said in sentence
    assert "what earlier cells of the same process still held" in sentence


# How many of the sets are others


def test_sets_that_are_alike_are_counted(make_rows) -> None:
    rows = make_rows(["sst2", "mrpc"], {**METHODS, "herding": 0.0}, dpcs=["5"], sets=6)
    alike = (rows.method == "herding") & (rows.task == "mrpc") & (rows["set_index"] < 4)
    rows = rows.assign(set_hash=rows["set_hash"].mask(alike, "same"))
    board = build_leaderboard(rows)
    assert board.cell("mrpc", "probe", "5", ("herding", "{}")).distinct_sets == 3
    assert texts(repeats_table(board)) == [["herding", "5", "mrpc 3 of 6"]]
    page = render(board, "md")
    assert re.search(r"\| herding +\| +5 +\| mrpc 3 of 6", page)
    assert "count as often as they occur" in page


def test_where_all_sets_differ_or_no_hash_is_known_nothing_is_said(make_rows) -> None:
    rows = make_rows(["sst2"], METHODS, sets=3)
    for frame in (rows, rows.assign(set_hash="")):
        board = build_leaderboard(frame)
        assert repeats_table(board) is None
        assert len(precision(board).tables) == 1


# Of which rows


def test_rows_outside_the_plan_are_not_counted_as_those_of_the_numbers(make_rows) -> None:
    rows = make_rows(["sst2"], METHODS, ["probe"], ["5"], sets=6, seeds=1, full=False)
    (said,) = setup(build_leaderboard(rows)).sentences
    assert said.startswith("Every number on this page is computed from 12 rows (digest")
    mended = rows.assign(planned_sets=4)
    (said,) = setup(build_leaderboard(mended)).sentences
    assert said.startswith("Every number on this page is computed from 8 of 12 rows (digest")
    assert "4 lie outside the plan" in said
