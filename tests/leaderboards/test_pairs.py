"""Pair by pair: who is shown to be better than whom, counted over tasks and budgets."""

from __future__ import annotations

import pytest

from leaderboards import build_leaderboard
from leaderboards.pairs import pair_tables

METHODS = {"random": -0.1, "k-centers": 0.0, "dilm": 0.1, "same": 0.1}


@pytest.fixture
def frame(make_rows):
    """A clear order but for two methods with the same scores; three DPCs of two tasks."""
    frame = make_rows(tasks=("sst2", "mrpc"), methods=METHODS, learners=("probe",))
    frame.loc[frame.method == "same", "score"] = frame.score[frame.method == "dilm"].to_numpy()
    return frame


def read(table) -> dict[tuple[str, str], str]:
    assert [row[0].text for row in table.rows] == list(table.header[2:])
    names = [row[1].text for row in table.rows]
    return {
        (row[1].text, name): entry.text
        for row in table.rows
        for name, entry in zip(names, row[2:], strict=True)
    }


def test_every_pair_is_counted_once_from_either_side(frame) -> None:
    board = build_leaderboard(frame)
    (table,) = pair_tables(board)
    count = read(table)
    all_of_them = len(board.tasks) * len(board.dpcs)
    assert count["dilm", "random"] == f"{all_of_them} / 0 / 0"
    assert count["random", "dilm"] == f"0 / 0 / {all_of_them}"
    assert count["same", "dilm"] == count["dilm", "same"] == f"0 / {all_of_them} / 0"
    assert {count[name, name] for name in METHODS} == {""}
    for a in METHODS:
        for b in set(METHODS) - {a}:
            assert count[a, b].split(" / ") == count[b, a].split(" / ")[::-1]


def test_the_counts_agree_with_the_places(frame) -> None:
    board = build_leaderboard(frame)
    count = read(pair_tables(board)[0])
    for name in METHODS:
        won = sum(int(count[name, other].split(" / ")[0]) for other in set(METHODS) - {name})
        cells = [cell for cell in board.cells if cell.id.method == name]
        assert won == sum(len(METHODS) - cell.rank.worst for cell in cells)
        assert won == sum(len(cell.rank.beats) for cell in cells)


def test_a_cell_that_cannot_be_tested_does_not_count(frame) -> None:
    alone = frame[(frame.method != "dilm") | (frame.set_index == 0) | (frame.task == "mrpc")]
    here = (alone.method == "dilm") & (alone.task == "sst2")
    alone = alone.assign(planned_sets=alone.planned_sets.mask(here, 1))
    board = build_leaderboard(alone)
    count = read(pair_tables(board)[0])
    assert count["dilm", "random"] == f"{len(board.dpcs)} / 0 / 0"
    assert count["same", "random"] == f"{2 * len(board.dpcs)} / 0 / 0"


def test_two_methods_make_no_table(make_rows) -> None:
    frame = make_rows(tasks=("sst2",), methods={"random": 0.0, "k-centers": 0.1})
    assert not pair_tables(build_leaderboard(frame))
