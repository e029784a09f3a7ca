"""Places, leads and effects: those of the cells, and their averages where a suite is wide."""

from __future__ import annotations

import numpy as np
import pytest

from leaderboards import build_leaderboard, render
from leaderboards.averages import columns
from leaderboards.page import make_page
from leaderboards.resamples import Resamples
from leaderboards.standings import cell_standings, mean_standings

METHODS = {"random": -0.1, "k-centers": 0.0, "dilm": 0.1}
TASKS = [f"task-{number}" for number in range(12)]


def cell_of(table, row, name):
    return row[[head.replace("\n", " ") for head in table.header].index(name)]


def test_a_clear_order_has_single_places_and_an_open_one_a_range(make_rows) -> None:
    frame = make_rows(tasks=("sst2",), methods={**METHODS, "same": 0.1}, learners=("probe",))
    frame.loc[frame.method == "same", "score"] = frame.score[frame.method == "dilm"].to_numpy()
    (table,) = cell_standings(build_leaderboard(frame))
    places = {row[2].text: cell_of(table, row, "places").text for row in table.rows[:4]}
    assert places == {"random": "4", "k-centers": "3", "dilm": "1 to 2", "same": "1 to 2"}


def test_a_method_with_one_set_leaves_a_place_open_to_each_of_the_others(make_rows) -> None:
    frame = make_rows(tasks=("sst2",), methods={**METHODS, "tdd": 0.3}, learners=("probe",))
    alone = frame[(frame.method != "tdd") | (frame["set_index"] == 0)]
    frame = alone.assign(planned_sets=alone.planned_sets.mask(alone.method == "tdd", 1))
    board = build_leaderboard(frame)
    (table,) = cell_standings(board)
    lines = {row[2].text: row for row in table.rows[:4]}
    places = {name: cell_of(table, line, "places").text for name, line in lines.items()}
    assert places == {"random": "3 to 4", "k-centers": "2 to 3", "dilm": "1 to 2", "tdd": "–"}
    assert cell_of(table, lines["tdd"], "P(better)").text == "–"
    cell = board.cell("sst2", "probe", "5", ("dilm", "{}"))
    assert (cell.rank.rank, cell.rank.worst) == (1, 2)
    assert "leaves one place more open" in render(board, "md")


def test_the_figures_of_a_line_are_those_of_its_cell(make_rows) -> None:
    board = build_leaderboard(make_rows(tasks=("sst2",), methods=METHODS, learners=("probe",)))
    (table,) = cell_standings(board)
    assert len(table.rows) == 3 * 3
    row = next(r for r in table.rows if (r[1].text, r[2].text) == ("10", "dilm"))
    cell = board.cell("sst2", "probe", "10", ("dilm", "{}"))
    test = cell.comparison
    for name, value in (
        ("lead (95% interval)", test.difference),
        ("p (Holm)", test.p_holm),
        ("Hedges g", test.hedges_g),
        ("P(better)", test.probability_of_improvement),
        ("recovered (%)", cell.recovered),
        ("ICC", cell.summary.icc),
        ("design effect", cell.summary.design_effect),
    ):
        assert cell_of(table, row, name).value == pytest.approx(value)


def test_the_reference_has_places_but_no_lead(make_rows) -> None:
    (table,) = cell_standings(build_leaderboard(make_rows(tasks=("sst2",), learners=("probe",))))
    own = [row for row in table.rows if row[2].text == "k-centers"]
    assert {cell_of(table, row, "lead (95% interval)").text for row in own} == {""}
    assert all(cell_of(table, row, "places").text for row in own)


def test_what_nothing_is_known_of_is_no_column(make_rows) -> None:
    frame = make_rows(tasks=("sst2",), learners=("probe",), full=False)
    (table,) = cell_standings(build_leaderboard(frame))
    assert not any("recovered" in head for head in table.header)
    (table,) = cell_standings(build_leaderboard(make_rows(tasks=("sst2",), seeds=1)))[:1]
    assert "ICC" not in table.header
    assert "recovered\n(%)" in table.header


def test_a_wide_suite_shows_means_over_tasks_with_the_interval_of_the_lead(make_rows) -> None:
    frame = make_rows(tasks=TASKS, methods=METHODS, learners=("probe",), sets=8, seeds=3)
    board = build_leaderboard(frame)
    (table,) = mean_standings(board, columns(board), Resamples())
    assert [row[1].text for row in table.rows[:3]] == list(METHODS)
    lead = cell_of(table, table.rows[2], "lead (95% interval)")
    cells = {m: [board.cell(t, "probe", "5", (m, "{}")).mean for t in TASKS] for m in METHODS}
    assert lead.value == pytest.approx(np.mean(cells["dilm"]) - np.mean(cells["k-centers"]))
    low, high = (float(x) for x in lead.text.split("(")[1].rstrip(")").split(" to "))
    assert low < 100 * lead.value < high
    assert low > 0
    assert cell_of(table, table.rows[2], "places").text == "1.0 to 1.0"
    assert any(section.title == "Places and effects" for section in make_page(board).sections)


def test_a_cells_resamples_do_not_depend_on_the_other_cells(make_rows) -> None:
    whole = build_leaderboard(make_rows(methods=METHODS, sets=5))
    part = build_leaderboard(make_rows(methods={"k-centers": 0.0, "dilm": 0.1}, sets=5))
    key = ("sst2", "probe", "10", ("k-centers", "{}"))
    alone = part.cell(*key)
    shifted = Resamples().of(whole.cell(*key)) - whole.cell(*key).mean
    assert np.std(shifted) > 0
    again = Resamples()
    again.of(part.cell("mrpc", "probe", "5", ("dilm", "{}")))
    np.testing.assert_array_equal(again.of(alone), Resamples().of(alone))


def test_the_interval_of_one_task_is_that_of_its_cell(make_rows) -> None:
    board = build_leaderboard(make_rows(tasks=("sst2",), methods=METHODS, sets=3, seeds=1))
    cell, reference = (board.cell("sst2", "probe", "5", (m, "{}")) for m in ("dilm", "k-centers"))
    assert Resamples().interval([cell]) == (cell.summary.ci_low, cell.summary.ci_high)
    test = cell.comparison
    assert Resamples().interval([cell], [reference]) == (test.ci_low, test.ci_high)


def test_one_set_has_no_interval(make_rows) -> None:
    board = build_leaderboard(make_rows(sets=1))
    assert Resamples().interval([board.cells[1]]) is None
    assert Resamples().interval([]) is None


def test_where_nothing_is_ranked_there_is_no_table_of_places(make_rows) -> None:
    few = {"tasks": ("sst2",), "methods": {"random": -0.1, "dilm": 0.1}, "learners": ("probe",)}
    board = build_leaderboard(make_rows(**few, sets=1, full=False))
    assert cell_standings(board) == []
    assert "Places and effects" not in [section.title for section in make_page(board).sections]
