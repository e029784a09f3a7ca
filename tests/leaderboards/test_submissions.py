"""Rows of a bundle are merged marked as submitted, and never over other results unasked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.core.errors import InputError
from leaderboards import check_published, merge, read_results, render_published, submissions
from leaderboards.publish import normalise
from leaderboards.submissions import Merged, merge_submission, place_submission


@pytest.fixture
def results(tmp_path) -> Path:
    return tmp_path / "boards" / "results" / "toy.parquet"


@pytest.fixture
def boards(results, rows) -> Path:
    merge(results, rows)
    render_published(results, results.parents[1] / "published")
    return results.parents[1]


@pytest.fixture
def bundle(tmp_path) -> Path:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "SHA256SUMS").write_text("x")
    return tmp_path / "bundle"


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def cell_of(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    return rows[(rows.method == method) & (rows.task == "sst2") & (rows.learner == "probe")]


def of_mine(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows.method == "random"].assign(method="mine")


def test_new_cells_are_added_and_marked_as_submitted(rows, results) -> None:
    old = rows[rows.method != "herding"]
    merge(results, old)
    new = rows[rows.method == "herding"]
    assert merge_submission(results, new) == Merged(len(new), 0, 0)
    found = read_results(results)
    marks = found["info"].map(lambda text: json.loads(text).get("submitted"))
    assert set(marks[found.method == "herding"]) == {True}
    assert not any(marks[found.method != "herding"])
    pd.testing.assert_frame_equal(found.drop(columns="info"), normalise(rows).drop(columns="info"))


def test_rows_that_are_there_are_not_touched(rows, results) -> None:
    merge(results, rows)
    before = results.read_bytes()
    slower = rows.assign(distil_seconds=rows.distil_seconds * 9, device="mine", created=1.0)
    assert merge_submission(results, slower) == Merged(0, 0, len(rows))
    assert results.read_bytes() == before


@pytest.mark.parametrize("column", ["score", "set_hash", "run_key", "macro_f1"])
def test_other_results_are_refused_unless_they_are_to_replace(rows, results, column) -> None:
    merge(results, rows)
    before = results.read_bytes()
    mine = cell_of(rows, "k-centers").copy()
    mine[column] = 0.123 if column in ("score", "macro_f1") else "f" * 40
    with pytest.raises(InputError, match="other results or another plan for sst2 / k-centers / "):
        merge_submission(results, mine)
    assert results.read_bytes() == before
    assert merge_submission(results, mine, replace=True) == Merged(0, len(mine), 0)
    found = read_results(results)
    assert len(found) == len(rows)
    assert set(cell_of(found, "k-centers")[column]) == set(mine[column])
    other = cell_of(found, "random").drop(columns="info").reset_index(drop=True)
    assert other[column].tolist() == cell_of(normalise(rows), "random")[column].tolist()


def test_the_message_says_what_stands_where(rows, results) -> None:
    merge(results, rows)
    with pytest.raises(InputError) as caught:
        merge_submission(results, rows.assign(score=0.5))
    for part in (" and ", " more; ", "the first a score of 0.5 where ", "Nothing was changed"):
        assert part in str(caught.value)


@pytest.mark.parametrize("sets", [2, 30])
def test_another_plan_would_hide_or_add_runs(rows, results, sets) -> None:
    merge(results, rows)
    mine = cell_of(rows, "random").assign(planned_sets=sets)
    mine = mine[mine["set_index"] < sets]
    with pytest.raises(InputError, match="another plan"):
        merge_submission(results, mine)
    merge_submission(results, mine, replace=True)
    found = cell_of(read_results(results), "random")
    assert len(found) == len(mine)
    assert set(found.planned_sets) == {sets}


def test_runs_that_failed_are_filled_in(rows, results, mark) -> None:
    where = (rows.method == "random") & (rows["set_index"] == 1)
    merge(results, mark(rows, where, "failed"))
    told = merge_submission(results, rows[rows.method == "random"])
    assert told.added == where.sum()
    assert told.replaced == 0
    assert set(read_results(results).status) == {"ok"}


def test_all_of_a_file_can_be_replaced(rows, results) -> None:
    merge(results, rows)
    told = merge_submission(results, rows.assign(score=0.5), replace=True)
    assert told == Merged(0, len(rows), 0)
    assert set(read_results(results).score) == {0.5}


def test_a_bundle_is_placed_with_its_pages(rows, boards, bundle) -> None:
    mine = of_mine(rows)
    told = place_submission(boards, "toy", mine, bundle, "toy-1")
    assert told.added == len(mine)
    assert check_published(boards / "results" / "toy.parquet", boards / "published") == ""
    assert "mine (submitted)" in (boards / "published" / "toy.md").read_text()
    assert (boards / "submissions" / "toy-1" / "SHA256SUMS").read_text() == "x"
    assert all(path.exists() and not path.name.startswith(".") for path in told.paths)
    assert sorted(p.name for p in boards.iterdir()) == ["published", "results", "submissions"]


@pytest.mark.parametrize("found", ['{"found_x":"<b>"}', '{"found_x_before":1,"found_x_after":"2"}'])
def test_rows_that_make_no_page_change_nothing(rows, boards, bundle, found) -> None:
    before = files(boards)
    mine = of_mine(rows).assign(preparation=found)
    with pytest.raises(InputError, match="make no page"):
        place_submission(boards, "toy", mine, bundle, "toy-1")
    assert files(boards) == before


def test_a_failure_while_drawing_changes_nothing(rows, boards, bundle, monkeypatch) -> None:
    before = files(boards)

    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(submissions, "render_published", fail)
    with pytest.raises(InputError, match="no room"):
        place_submission(boards, "toy", of_mine(rows), bundle, "toy-1")
    assert files(boards) == before


def test_figures_that_a_page_no_longer_has_are_taken_away(rows, boards, bundle) -> None:
    stale = boards / "published" / "toy-ranks.svg"
    stale.write_text("<svg/>")
    place_submission(boards, "toy", of_mine(rows), bundle, "toy-1")
    assert not stale.exists()
    assert (boards / "published" / "toy-scaling.svg").exists()


def test_a_nan_is_equal_to_a_nan(rows, results) -> None:
    rows = rows.assign(f1=np.nan)
    merge(results, rows)
    assert merge_submission(results, rows).unchanged == len(rows)
