"""The index: every suite once, with the places of its largest budget."""

from __future__ import annotations

import numpy as np
import pytest

from leaderboards import build_leaderboard, check_published, merge, render_published
from leaderboards.averages import columns, summary_tables
from leaderboards.index import index_page


@pytest.fixture
def published(make_rows, tmp_path):
    for suite, methods in (("b-suite", {"k-centers": 0.0, "dilm": 0.1}), ("a-suite", None)):
        frame = make_rows(suite=suite, methods=methods, learners=("probe", "tfidf-lr"), sets=6)
        merge(tmp_path / "results" / f"{suite}.parquet", frame)
        render_published(tmp_path / "results" / f"{suite}.parquet", tmp_path / "published")
    return tmp_path / "published"


def test_every_suite_has_a_line_that_leads_to_its_page(published) -> None:
    text = (published / "README.md").read_text()
    assert [line.split("|")[1].strip() for line in text.splitlines() if "](" in line] == [
        "[a-suite](a-suite.md)", "[b-suite](b-suite.md)",
    ]  # fmt: skip
    page = index_page(published.parent / "results", published)
    assert [entry.text for entry in page.sections[0].tables[0].rows[1]] == [
        "b-suite", "3", "3", "2", "1,110", "2025-10-09",
    ]  # fmt: skip


def test_places_are_the_means_of_the_largest_budget(published, make_rows) -> None:
    page = index_page(published.parent / "results", published)
    table = next(section for section in page.sections if section.title == "a-suite").tables[0]
    assert table.header == ("method", "probe\nDPC 20", "tfidf-lr\nDPC 20")
    board = build_leaderboard(make_rows(suite="a-suite", learners=("probe", "tfidf-lr"), sets=6))
    for row in table.rows:
        ranks = [
            board.cell(task, "probe", "20", (row[0].text, "{}")).rank.interval
            for task in board.tasks
        ]
        low, high = np.mean(ranks, axis=0)
        assert row[1].text == f"{low:.1f} to {high:.1f}"
    assert {row[0].text for row in table.rows} == {"random", "k-centers", "herding"}


def test_an_edited_or_outdated_index_is_drift(published) -> None:
    results = published.parent / "results"
    assert check_published(results / "a-suite.parquet", published) == ""
    (published / "b-suite.csv").unlink()
    assert "b-suite" in check_published(results / "a-suite.parquet", published)
    render_published(results / "a-suite.parquet", published)
    assert check_published(results / "a-suite.parquet", published) == ""
    assert "b-suite" not in (published / "README.md").read_text()


def test_variants_of_a_method_have_lines_of_their_own(make_rows, tmp_path) -> None:
    import pandas as pd

    frames = [
        make_rows(params={"herding": f'{{"encoder":"{name}"}}'}, sets=3, learners=("probe",))
        for name in ("minilm", "bert-base")
    ]
    frame = pd.concat([frames[0], frames[1][frames[1].method == "herding"]])
    merge(tmp_path / "toy.parquet", frame)
    render_published(tmp_path / "toy.parquet", tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "herding (encoder=minilm)" in text
    assert "herding (encoder=bert-base)" in text


def test_places_are_those_of_the_page_and_rows_that_lack_tasks_have_none(make_rows, tmp_path):
    tasks = [f"task-{number:02d}" for number in range(14)]
    methods = {"random": -0.1, "k-centers": 0.0, "dilm": 0.05, "tdd": 0.2, "alone": 0.3}
    rows = make_rows(tasks, methods, ["probe"], ["5"], suite="toy", sets=4)
    rows = rows[(rows.method != "tdd") | rows.task.isin(tasks[:7])]
    alone = rows.method == "alone"
    rows = rows.assign(planned_sets=rows.planned_sets.mask(alone, 1))
    rows = rows[~alone | (rows["set_index"] == 0)]
    merge(tmp_path / "toy.parquet", rows)
    render_published(tmp_path / "toy.parquet", tmp_path)
    (table,) = index_page(tmp_path, tmp_path).sections[-1].tables
    board = build_leaderboard(rows)
    (summary,) = summary_tables(board, columns(board))
    of_page = {row[0].text: row[2].text for row in summary.rows}
    places = {row[0].text: row[1].text for row in table.rows}
    assert places.pop("tdd") == "– (7 tasks)"
    assert places.pop("alone") == "–"
    assert places == {name: of_page[name] for name in ("random", "k-centers", "dilm")}
    assert float(places["dilm"].split(" to ")[1]) >= 2, "the untested method may be better"


def test_a_column_of_a_part_of_the_tasks_says_so(make_rows, tmp_path) -> None:
    rows = make_rows(suite="toy", learners=("probe",), sets=3)
    rows = rows[(rows.dpc != "20") | (rows.task == "sst2")]
    merge(tmp_path / "toy.parquet", rows)
    render_published(tmp_path / "toy.parquet", tmp_path)
    (table,) = index_page(tmp_path, tmp_path).sections[-1].tables
    assert table.header == ("method", "probe\nDPC 20 (1 of 3 tasks)")
