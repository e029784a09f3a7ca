"""Published results: merging by identity, rendering from the Parquet alone, finding drift."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from benchmark.core.errors import InputError
from leaderboards import check_published, merge, read_results, render_published
from leaderboards.publish import DIFF_LINES
from leaderboards.rows import COLUMNS, normalise


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results" / "toy.parquet"


@pytest.fixture
def published(tmp_path):
    return tmp_path / "published"


def test_merging_the_same_rows_again_changes_no_byte(rows, results):
    merge(results, rows)
    before = results.read_bytes()
    merge(results, rows.sample(frac=1, random_state=0))
    assert results.read_bytes() == before
    assert [path.name for path in results.parent.iterdir()] == ["toy.parquet"]


def test_what_is_read_is_what_was_merged(rows, results):
    merged = merge(results, rows.assign(extra="/home/me"))
    pd.testing.assert_frame_equal(merged, normalise(rows))
    pd.testing.assert_frame_equal(read_results(results), merged)
    assert list(pd.read_parquet(results).columns) == COLUMNS


def test_parts_merged_in_any_order_are_the_whole(rows, tmp_path):
    parts = [rows[rows.learner == name] for name in ("probe", "tfidf-lr")]
    for name, order in (("ab", parts), ("ba", parts[::-1])):
        for part in order:
            merge(tmp_path / name, part)
    assert (tmp_path / "ab").read_bytes() == (tmp_path / "ba").read_bytes()
    pd.testing.assert_frame_equal(read_results(tmp_path / "ab"), normalise(rows))


def test_a_new_row_replaces_the_one_of_the_same_run(rows, results):
    merge(results, rows)
    few = rows[(rows.task == "sst2") & (rows["set_index"] == 2)].assign(score=0.123)
    merged = merge(results, few)
    assert len(merged) == len(rows)
    assert (merged.score == 0.123).sum() == len(few)


def test_the_plan_and_the_facts_of_a_cell_are_the_new_ones_on_all_its_rows(rows, results):
    merge(results, rows)
    few = rows[(rows.task == "sst2") & (rows["set_index"] == 0) & (rows.method != "full")]
    merged = merge(results, few.assign(planned_sets=1, info='{"task_order":7}'))
    changed = (merged.task == "sst2") & (merged.method != "full")
    assert set(merged.planned_sets[changed]) == {1}
    assert set(merged["info"][changed]) == {'{"task_order":7}'}
    assert len(merged) == len(rows)
    assert set(merged.planned_sets[~changed]) == {20, 1}
    assert '{"task_order":7}' not in set(merged["info"][~changed])


def test_runs_replace_a_placeholder(rows, results, placeholder):
    merge(results, placeholder(rows, rows.task == "sst2", "no data"))
    merged = merge(results, rows[rows.task == "sst2"])
    pd.testing.assert_frame_equal(merged, normalise(rows))


def test_a_placeholder_replaces_failed_runs_but_never_an_ok_one(rows, results, placeholder, mark):
    sst2, mrpc = rows.task == "sst2", rows.task == "mrpc"
    merge(results, mark(rows, sst2, "failed"))
    lines = placeholder(rows, sst2 | mrpc, "no model")
    merged = merge(results, lines[lines["set_index"] < 0])
    assert set(merged["set_index"][merged.task == "sst2"]) == {-1}
    assert (merged["set_index"][merged.task == "mrpc"] >= 0).all()
    assert set(merged.status[merged.task == "mrpc"]) == {"ok"}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("no model in /home/jane/assets/models", "no model in (path)"),
        ("see ~/assets or C:\\Users\\jane\\x", "see (path) or (path)"),
        ("file:///data/x.parquet: damaged", "(path) damaged"),
        ("'/srv/a b/c'", "'/srv/a b/c'"),
        ("nyu-mll/glue at 1/2 of https://huggingface.co/a/b", None),
    ],
)
def test_absolute_paths_are_cut_out_of_texts(rows, results, said, kept):
    environment = json.dumps({"python": "3.11", "where": [said]})
    frame = rows.assign(reason=said, environment=environment)
    merged = merge(results, frame)
    if kept != said:
        assert set(merged.reason) == {kept or said}
        assert json.loads(merged.environment[0])["where"] == [kept or said]


def test_a_file_holds_one_suite(rows, results, make_rows):
    merge(results, rows)
    before = results.read_bytes()
    with pytest.raises(InputError, match="one suite, not other and toy"):
        merge(results, make_rows(suite="other"))
    assert results.read_bytes() == before


def test_published_pages_follow_from_the_results(rows, results, published):
    merge(results, rows)
    paths = render_published(results, published)
    names = ["README.md", "toy-scaling.png", "toy-scaling.svg", "toy.csv", "toy.md"]
    assert sorted(path.name for path in published.iterdir()) == names
    assert sorted(path.name for path in paths) == names
    assert check_published(results, published) == ""


def test_an_edited_page_is_found(rows, results, published):
    merge(results, rows)
    render_published(results, published)
    page = published / "toy.md"
    page.write_text(page.read_text().replace("±2", "±1", 1))
    diff = check_published(results, published)
    assert diff.startswith("--- toy.md\n+++ toy.md (from the rows)")


def test_an_edited_csv_and_a_missing_page_are_found(rows, results, published):
    merge(results, rows)
    render_published(results, published)
    (published / "toy.md").unlink()
    table = published / "toy.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    diff = check_published(results, published)
    assert "toy.md (missing)" in diff
    assert len(diff.splitlines()) == DIFF_LINES + 1
    (published / "toy.md").write_text("")
    render_published(results, published)
    assert check_published(results, published) == ""


@pytest.mark.parametrize(("column", "value"), [("score", 0.999), ("run_key", "another")])
def test_edited_results_are_found(rows, results, published, column, value):
    merge(results, rows)
    render_published(results, published)
    frame = pd.read_parquet(results)
    frame.loc[0, column] = value
    frame.to_parquet(results)
    assert "digest" in check_published(results, published)


def test_damaged_or_missing_results_are_one_clear_error(rows, results, published):
    with pytest.raises(InputError, match="no published results"):
        check_published(results, published)
    merge(results, rows)
    results.write_bytes(results.read_bytes()[:-50])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        render_published(results, published)
    assert not published.exists() or not list(published.iterdir())


def test_a_suite_cannot_write_outside_the_directory(make_rows, results, published):
    merge(results, make_rows(suite="../x"))
    with pytest.raises(InputError, match="no name for a file"):
        render_published(results, published)


def test_a_placeholder_beside_runs_of_its_cell_is_dropped(rows, results, placeholder):
    lines = placeholder(rows, rows.task == "sst2", "gone")
    both = pd.concat([rows, lines[lines["set_index"] < 0]])
    pd.testing.assert_frame_equal(merge(results, both), normalise(rows))
