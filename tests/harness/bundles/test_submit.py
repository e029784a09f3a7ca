"""Bundles are made, judged and merged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmark.bundles import layout
from benchmark.bundles.layout import SUMS
from benchmark.bundles.write import write_bundle
from benchmark.store import Store
from leaderboards import merge


def test_a_bundle_of_a_finished_suite_is_valid(bundle, judge) -> None:
    code, problems, out = judge(bundle)
    assert (code, problems) == (0, [])
    assert "valid: 8 cells, 48 rows of toy" in out
    assert "task mood: its data have no pinned revision" in out
    names = {path.relative_to(bundle.folder).as_posix() for path in bundle.folder.rglob("*")}
    assert all(layout.PLACES.fullmatch(name) for name in names if "." in name and name != SUMS)


def test_equal_stores_make_equal_bundles(made, tmp_path) -> None:
    store = Store(made.parent / "store", create=False)
    write_bundle(store, "toy", tmp_path / "again")
    store.close()
    assert (tmp_path / "again" / SUMS).read_bytes() == (made / SUMS).read_bytes()


def test_incomplete_cells_are_left_out_and_named(cli, world, store, tmp_path) -> None:
    opened = Store(store)
    opened.database.execute(
        "UPDATE rows SET status='failed' WHERE task='mood' AND method='random' AND dpc='2'"
        " AND learner='tfidf-lr' AND set_index=1"
    )
    opened.close()
    told = cli("submit", "--suite", "toy", "--out", tmp_path / "out", *world.flags(store))
    assert told.code == 0
    assert "bundled 23 complete cells" in told.out
    assert "left out as not complete: 1 cells (mood / random / DPC 2 / tfidf-lr)" in told.out
    assert cli("submit", "--validate", tmp_path / "out", *world.flags(store)).code == 0


def test_shared_rows_are_counted_and_shown_with_the_score_without_them(
    world, cli, tmp_path, table_writer
) -> None:
    mine = world.copy(tmp_path)
    folder = mine.assets / "datasets/toy/mood/default"
    train, test = (pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "test"))
    shared = pd.concat([train, test.iloc[[3, 8]]], ignore_index=True)
    table_writer(mine.assets, "toy/mood", "train", shared)
    flags = mine.flags(tmp_path / "store")
    ran = cli(
        "run", "--suite", "toy", "--tasks-only", "mood", "--methods", "full", "--learners",
        "tfidf-lr", *flags,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert cli("submit", "--suite", "toy", "--out", tmp_path / "b", *flags).code == 0
    told = cli("submit", "--validate", tmp_path / "b", *flags)
    assert told.code == 0, told.out
    rows = pd.read_parquet(tmp_path / "b" / "rows.parquet")
    with np.load(next((tmp_path / "b" / "predictions").glob("*"))) as arrays:
        right = arrays[rows.run_key[0]] == test.label
    without = right.drop([3, 8]).mean()
    assert f"1 sets, 2 test rows, {right.mean():.4f}, without {without:.4f}" in told.out
    assert not (tmp_path / "b" / "sets").exists() or not list((tmp_path / "b" / "sets").iterdir())


# Merging


def test_a_valid_bundle_is_merged_rendered_and_kept(bundle, judge, cli, tmp_path) -> None:
    boards = tmp_path / "leaderboards"
    (boards / "results").mkdir(parents=True)
    code, _, out = judge(bundle, "--to", boards)
    assert code == 0, out
    assert {"toy.md", "toy.csv", "README.md"} <= {p.name for p in (boards / "published").iterdir()}
    (kept,) = (boards / "submissions").iterdir()
    assert (kept / SUMS).read_bytes() == (bundle.folder / SUMS).read_bytes()
    for line in ("git switch -c", "git add", "git commit -m 'Submit 8 cells of toy'", "git push"):
        assert line in out
    assert "48 rows added, 0 replaced, 0 were there already" in out
    before = (boards / "results" / "toy.parquet").read_bytes()
    code, _, out = judge(bundle, "--to", boards)
    assert code == 0
    assert "0 rows added, 0 replaced, 48 were there already" in out
    assert (boards / "results" / "toy.parquet").read_bytes() == before


def test_other_peoples_rows_are_replaced_on_request_only(bundle, judge, tmp_path) -> None:
    results = tmp_path / "leaderboards" / "results" / "toy.parquet"
    theirs = bundle.rows()
    merge(results, theirs.assign(score=0.123, accuracy=0.123))
    before = results.read_bytes()
    code, _, out = judge(bundle, "--to", results.parents[1])
    assert code == 2
    assert "--replace puts the bundle's cells in their place" in out
    assert [path.name for path in results.parents[1].iterdir()] == ["results"]
    assert results.read_bytes() == before
    code, _, out = judge(bundle, "--to", results.parents[1], "--replace")
    assert code == 0, out
    assert "0 rows added, 48 replaced, 0 were there already" in out
    assert pd.read_parquet(results).score.tolist() == theirs.score.tolist()


def test_a_task_whose_data_are_not_here_is_no_forgery_and_not_merged(
    bundle, cli, world, tmp_path
) -> None:
    mine = world.copy(tmp_path)
    (mine.assets / "datasets/toy/pair/default/test.parquet").unlink()
    (tmp_path / "boards" / "results").mkdir(parents=True)
    told = cli(
        "submit", "--validate", bundle.folder, "--to", tmp_path / "boards",
        *mine.flags(tmp_path / "none"),
    )  # fmt: skip
    assert told.code == 3, told.out
    assert "problem:" not in told.out
    assert "not checkable here: task pair: " in told.out
    assert "1 tasks; nothing was found wrong, and not merged" in told.out
    assert [path.name for path in (tmp_path / "boards").rglob("*")] == ["results"]
    bundle.change(lambda rows: rows.task == "mood", score=0.999)
    told = cli("submit", "--validate", bundle.folder, *mine.flags(tmp_path / "none"))
    assert told.code == 1


def test_an_invalid_bundle_is_never_merged(bundle, judge, tmp_path) -> None:
    boards = tmp_path / "leaderboards"
    (boards / "results").mkdir(parents=True)
    bundle.change(lambda rows: rows.index == 0, score=0.999)
    assert judge(bundle, "--to", boards)[0] == 1
    assert [path.name for path in boards.rglob("*")] == ["results"]


def test_a_store_is_bundled_checked_and_merged_at_once(cli, world, store, tmp_path) -> None:
    (tmp_path / "leaderboards" / "results").mkdir(parents=True)
    told = cli("submit", "--suite", "toy", "--to", tmp_path / "leaderboards", *world.flags(store))
    assert told.code == 0, told.err
    assert "valid: 24 cells" in told.out
    assert "not valid" not in told.out


def test_a_bundle_that_is_smaller_than_the_protocol_is_told_when_it_is_made(
    cli, world, tmp_path
) -> None:
    flags = ["--methods", "random", "--learners", "tfidf-lr", "--tasks-only", "mood", "--dpc", "2"]
    small = ["--sets", "2", "--seeds", "1", *world.flags(tmp_path / "s")]
    assert cli("run", "--suite", "toy", *flags, *small).code == 0
    out = tmp_path / "bundle"
    told = cli("submit", "--suite", "toy", "--out", out, *world.flags(tmp_path / "s"))
    assert told.code == 0, told.err
    assert "note: not valid yet, 1 cells: " in told.out
    assert "planned with 2 × 1 runs" in told.out
    assert cli("submit", "--validate", out, *world.flags(tmp_path / "s")).code == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "give --suite NAME to make a bundle, or --validate DIR"),
        (("--suite", "toy", "--validate", "x"), "give --suite NAME to make a bundle"),
        (("--suite", "toy"), "--suite needs --out DIR"),
        (("--suite", "toy", "--out", "a", "--to", "b"), "--suite needs --out DIR"),
        (("--validate", "x", "--out", "y"), "--out goes with --suite"),
        (("--validate", "x", "--to", "nowhere"), "--to nowhere: no leaderboards directory"),
        (("--validate", "x", "--replace"), "--replace says how to merge, so it goes with --to"),
        (("--validate", "nowhere"), "nowhere: there is no such directory"),
    ],
)
def test_bad_usage_is_told(cli, world, tmp_path, args, said) -> None:
    told = cli("submit", *args, *world.flags(tmp_path / "s"))
    assert told.code == 2
    assert said in told.message


def test_a_directory_that_is_not_empty_is_never_written_to(cli, world, store, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("x")
    told = cli("submit", "--suite", "toy", "--out", tmp_path / "mine", *world.flags(store))
    assert told.code == 2
    assert "exists already" in told.message
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["note"]


def test_sets_made_elsewhere_can_be_submitted(made, cli, world, tmp_path) -> None:
    rows = pd.read_parquet(made / "rows.parquet")
    mine = rows[(rows.task == "mood") & (rows.dpc == "2")].drop_duplicates("set_index")
    (tmp_path / "sets").mkdir()
    for index, key in enumerate([*mine.set_hash] * 7):  # the standard protocol has twenty
        text = (made / "sets" / key / "rows.jsonl").read_text()
        (tmp_path / "sets" / f"{index:02d}.jsonl").write_text(text)
    (tmp_path / "sets" / "20.jsonl").unlink()
    flags = world.flags(tmp_path / "store")
    told = cli(
        "score", tmp_path / "sets", "--task", "mood", "--name", "mine", "--learners", "tfidf-nb",
        *flags,
    )  # fmt: skip
    assert told.code == 0, told.err
    assert cli("submit", "--suite", "submitted", "--out", tmp_path / "b", *flags).code == 0
    told = cli("submit", "--validate", tmp_path / "b", *flags)
    assert told.code == 0, told.out
    assert "3 of its 20 sets are distinct" in told.out
