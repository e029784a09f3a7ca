"""Bundles: what is made is valid, and every way of tampering is caught by its own message."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.bundles import layout
from benchmark.bundles.arrays import save_predictions
from benchmark.bundles.layout import SUMS, write_sums
from benchmark.bundles.write import write_bundle
from benchmark.core.distilled import DistilledSet
from benchmark.store import Store
from leaderboards import build_leaderboard, render


@dataclass
class Bundle:
    """A bundle that a test may spoil, and sign again as a forger would."""

    folder: Path

    def rows(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "rows.parquet").astype({"reason": object})

    def put(self, rows: pd.DataFrame, statistics: bool = True) -> None:
        """Write rows and all that follows from them, so that only the lie itself is left."""
        rows.to_parquet(self.folder / "rows.parquet", index=False)
        head = json.loads((self.folder / "bundle.json").read_text())
        (self.folder / "bundle.json").write_text(json.dumps({**head, "rows": len(rows)}))
        if statistics:
            text = render(build_leaderboard(rows), "csv")
            (self.folder / "statistics.csv").write_bytes(text.encode())
        self.sign()

    def change(self, where: Callable[[pd.DataFrame], pd.Series], **values: object) -> None:
        rows = self.rows()
        for name, value in values.items():
            rows.loc[where(rows), name] = value
        self.put(rows)

    def sign(self) -> None:
        (self.folder / SUMS).unlink()
        write_sums(self.folder)

    def one(self, pattern: str) -> Path:
        return sorted(self.folder.glob(pattern))[0]

    def predictions(self, edit: Callable[[dict[str, np.ndarray]], None]) -> None:
        path = self.one("predictions/*.npz")
        with np.load(path) as arrays:
            found = {key: arrays[key] for key in arrays.files}
        edit(found)
        save_predictions(found, path)
        self.sign()

    def set_with(self, text: str) -> None:
        """Put a text into a set and make its hash, folder and rows agree with it."""
        folder = next(
            path for path in sorted((self.folder / "sets").iterdir())
            if list(json.loads((path / "set.json").read_text())["columns"]) == ["text"]
        )  # fmt: skip
        old = DistilledSet.load(folder)
        texts = [text, *old.columns["text"][1:]]
        new = DistilledSet.of_texts({"text": texts}, old.labels, old.classes)
        new.save(folder.with_name(new.content_hash))
        rows = self.rows()
        mine = rows.set_hash == folder.name
        rows.loc[mine, "set_hash"] = new.content_hash
        for column, size in (("set_words", "words"), ("set_bytes", "bytes")):
            rows.loc[mine, column] = float(new.size()[size])
        shutil.rmtree(folder)
        self.put(rows)


@pytest.fixture(scope="module")
def made(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    store = Store(Path(shutil.copytree(finished, root / "store")))
    for table in ("rows", "cells"):  # one method is enough to forge
        store.database.execute(f"DELETE FROM {table} WHERE method <> 'random'")
    assert write_bundle(store, "toy", root / "bundle") == (8, [])
    store.close()
    return root / "bundle"


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Bundle:
    return Bundle(Path(shutil.copytree(made, tmp_path / "bundle")))


@pytest.fixture
def judge(cli, world, tmp_path):
    """Validate a bundle; returns its exit code and the problems that were told."""

    def call(bundle: Bundle, *more: str | Path) -> tuple[int, list[str], str]:
        told = cli("submit", "--validate", bundle.folder, *more, *world.flags(tmp_path / "none"))
        lines = told.out.splitlines()
        return told.code, [x[9:] for x in lines if x.startswith("problem: ")], told.out + told.err

    return call


def flip(path: Path, place: float = 0.5, bit: int = 0) -> None:
    body = bytearray(path.read_bytes())
    body[int(place * (len(body) - 1))] ^= 1 << bit
    path.write_bytes(body)


# What is made


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


# Tampering without new checksums


@pytest.mark.parametrize("place", [0.0, 0.37])
@pytest.mark.parametrize(
    "pattern",
    [
        "bundle.json", "rows.parquet", "statistics.csv", "environments.json", "sets/*/set.json",
        "sets/*/rows.jsonl", "predictions/*.npz", SUMS,
    ],
)  # fmt: skip
def test_one_flipped_bit_in_any_file_is_found(bundle, judge, pattern, place) -> None:
    path = bundle.one(pattern)
    flip(path, place, bit=int(place * 5))
    code, problems, _ = judge(bundle)
    assert code == 1
    name = path.relative_to(bundle.folder).as_posix()
    assert pattern == SUMS or problems == [f"{name}: its checksum is not the one in {SUMS}"]


def lost(bundle: Bundle) -> None:
    bundle.one("sets/*/rows.jsonl").unlink()


def unlisted(bundle: Bundle) -> None:
    (bundle.folder / "setup.py").write_text("raise SystemExit")


def misplaced(bundle: Bundle) -> None:
    unlisted(bundle)
    bundle.sign()


def line_of(text: str) -> Callable[[Bundle], None]:
    def add(bundle: Bundle) -> None:
        with (bundle.folder / SUMS).open("a") as handle:
            handle.write(f"{text}\n")

    return add


def twice(bundle: Bundle) -> None:
    line_of((bundle.folder / SUMS).read_text().splitlines()[0])(bundle)


def link(bundle: Bundle) -> None:
    path = bundle.one("sets/*/rows.jsonl")
    path.unlink()
    path.symlink_to("/etc/hostname")


def folder_link(bundle: Bundle) -> None:
    os.rename(bundle.folder / "sets", bundle.folder.parent / "elsewhere")
    (bundle.folder / "sets").symlink_to(bundle.folder.parent / "elsewhere")


def pipe(bundle: Bundle) -> None:
    os.mkfifo(bundle.folder / "predictions" / ("0" * 16 + ".npz"))


def huge(bundle: Bundle) -> None:
    with bundle.one("predictions/*.npz").open("r+b") as handle:
        handle.truncate(layout.MAX_FILE_BYTES + 1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lost, "listed in SHA256SUMS, but not there"),
        (unlisted, "setup.py: not listed in SHA256SUMS"),
        (misplaced, "setup.py: such a file has no place in a bundle"),
        (line_of("garbage"), "not a checksum, two spaces and a path"),
        (line_of("0" * 64 + "  ../../x"), "the path leaves the directory"),
        (line_of("0" * 64 + "  /etc/passwd"), "the path leaves the directory"),
        (line_of("0" * 64 + "  sets/.."), "the path leaves the directory"),
        (line_of("0" * 64 + "  C:x"), "the path leaves the directory"),
        (line_of("0" * 64 + "  evil/x"), "lists a path that has no place"),
        (twice, "a second time"),
        (link, "rows.jsonl: a link; a bundle holds plain files only"),
        (folder_link, "sets: a link; a bundle holds plain files only"),
        (pipe, "no plain file; a bundle holds plain files only"),
        (huge, "larger than 256 MB"),
    ],
)
def test_the_files_are_those_that_are_listed(bundle, judge, spoil, said) -> None:
    spoil(bundle)
    code, problems, out = judge(bundle)
    assert code == 1
    assert said in " ".join(problems), out


def test_no_directory_and_no_checksums_are_bad_input(bundle, judge) -> None:
    (bundle.folder / SUMS).unlink()
    assert judge(bundle)[0] == 2
    bundle.folder = bundle.folder / "nowhere"
    code, _, out = judge(bundle)
    assert code == 2
    assert "there is no such directory" in out


# Tampering with checksums that agree


def mood(rows: pd.DataFrame) -> pd.Series:
    return (rows.task == "mood") & (rows.method == "random") & (rows.dpc == "2")


def first(rows: pd.DataFrame) -> pd.Series:
    return mood(rows) & (rows.learner == "tfidf-lr") & (rows["set_index"] == 0)


def better_score(bundle: Bundle) -> None:
    rows = bundle.rows()
    bundle.change(first, score=rows.score[first(rows)] / 2, accuracy=rows.score[first(rows)] / 2)


def other_metric(bundle: Bundle) -> None:
    bundle.change(first, macro_f1=0.123)


def other_predictions(bundle: Bundle) -> None:
    def edit(found):
        key = sorted(found)[0]
        found[key] = np.where(np.arange(len(found[key])) < 15, 0, 1).astype(np.uint8)

    bundle.predictions(edit)


def no_predictions(bundle: Bundle) -> None:
    bundle.predictions(lambda found: found.pop(sorted(found)[0]))


def more_predictions(bundle: Bundle) -> None:
    bundle.predictions(lambda found: found.update({"0" * 40: np.zeros(40, np.uint8)}))


def shorter_predictions(bundle: Bundle) -> None:
    bundle.predictions(lambda found: found.update({k: v[:-1] for k, v in found.items()}))


def seventh_class(bundle: Bundle) -> None:
    bundle.predictions(lambda found: found.update({k: v + 7 for k, v in found.items()}))


def long_predictions(bundle: Bundle) -> None:
    huge = np.zeros(10**7, np.uint8)  # ten thousand times smaller in the file
    bundle.predictions(lambda found: found.update({sorted(found)[0]: huge}))


def other_text(bundle: Bundle) -> None:
    path = bundle.one("sets/*/rows.jsonl")
    path.write_text(path.read_text().replace("the", "thy", 1).replace(" a ", " b ", 1))
    bundle.sign()


def other_label(bundle: Bundle) -> None:
    path = bundle.one("sets/*/set.json")
    head = json.loads(path.read_text())
    head["hard_labels"] = head["hard_labels"][::-1]
    path.write_text(json.dumps(head))
    bundle.sign()


def other_set(bundle: Bundle) -> None:
    bundle.set_with("a text that no method chose")


def surplus_set(bundle: Bundle) -> None:
    shutil.copytree(bundle.one("sets/*"), bundle.folder / "sets" / ("0" * 40))
    bundle.sign()


def fewer_runs(bundle: Bundle) -> None:
    rows = bundle.rows()
    bundle.put(rows[~first(rows)])


def smaller_plan(bundle: Bundle) -> None:
    rows = bundle.rows()
    cell = mood(rows) & (rows.learner == "tfidf-lr")
    rows = rows[~cell | (rows["set_index"] < 2)].copy()
    rows.loc[mood(rows) & (rows.learner == "tfidf-lr"), "planned_sets"] = 2
    bundle.put(rows)


def two_plans(bundle: Bundle) -> None:
    bundle.change(first, planned_seeds=3)


def failed_run(bundle: Bundle) -> None:
    bundle.change(first, status="failed")


def edited(change: Callable[[dict], None]) -> Callable[[Bundle], None]:
    def spoil(bundle: Bundle) -> None:
        rows = bundle.rows()
        chosen = (rows.task == "mood") & (rows.learner == "tiny-bert")
        info = json.loads(rows["info"][chosen].iloc[0])
        change(info)
        rows.loc[chosen, "info"] = json.dumps(info)
        bundle.put(rows)

    return spoil


def swapped_runs(bundle: Bundle) -> None:
    rows = bundle.rows()
    mine = mood(rows) & (rows.learner == "tiny-bert") & (rows["set_index"] == 0)
    names = ["run_key", "score", "accuracy", "macro_f1", "f1", "matthews", "accuracy_f1"]
    rows.loc[mine, names] = rows.loc[mine, names].to_numpy()[::-1]
    bundle.put(rows)


def other_budget(bundle: Bundle) -> None:
    rows = bundle.rows()
    rows = rows[(rows.dpc != "2") | (rows.task != "mood")].copy()
    for path in bundle.folder.glob("predictions/*"):
        path.unlink()
    rows.loc[rows.task == "mood", "dpc"] = "3"
    bundle.put(rows)


def fewer_copies(bundle: Bundle) -> None:
    bundle.change(lambda rows: rows.set_hash == rows.set_hash[mood(rows)].iloc[0], copies=0.5)


def more_variety(bundle: Bundle) -> None:
    bundle.change(lambda rows: rows.set_hash == rows.set_hash[mood(rows)].iloc[0], distinct_2=0.1)


def better_labels(bundle: Bundle) -> None:
    bundle.change(lambda rows: rows.task == "mood", label_agreement=0.999)


def fewer_words(bundle: Bundle) -> None:
    bundle.change(lambda rows: rows.set_hash == rows.set_hash[mood(rows)].iloc[0], set_words=3.0)


def other_environment(bundle: Bundle) -> None:
    bundle.change(first, environment='{"device":"a bigger one"}')


def other_statistics(bundle: Bundle) -> None:
    path = bundle.folder / "statistics.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:4], lines[4].replace("ok", "ok ", 1), *lines[5:]]))
    bundle.sign()


def other_column(bundle: Bundle) -> None:
    bundle.put(bundle.rows().assign(note="x"), statistics=False)


def other_type(bundle: Bundle) -> None:
    bundle.put(bundle.rows().assign(score="high"), statistics=False)


def bad_status(bundle: Bundle) -> None:
    bundle.put(bundle.rows().assign(status="great"), statistics=False)


def repeated_row(bundle: Bundle) -> None:
    rows = bundle.rows()
    bundle.put(pd.concat([rows, rows[first(rows)]]), statistics=False)


def path_as_hash(bundle: Bundle) -> None:
    rows = bundle.rows()
    rows.loc[first(rows), "set_hash"] = "../../../../etc"
    bundle.put(rows, statistics=False)


def head_with(**values: object) -> Callable[[Bundle], None]:
    def spoil(bundle: Bundle) -> None:
        path = bundle.folder / "bundle.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        bundle.sign()

    return spoil


def deep_json(bundle: Bundle) -> None:
    (bundle.folder / "environments.json").write_text("[" * 100_000)
    bundle.sign()


def no_parquet(bundle: Bundle) -> None:
    (bundle.folder / "rows.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    bundle.sign()


def unknown_task(bundle: Bundle) -> None:
    bundle.change(lambda rows: rows.task == "mood", task="moon")


def drop_revision(info: dict) -> None:
    info["revision"] = "0" * 40


def drop_rows(info: dict) -> None:
    info["test_rows"] = 39


def other_recipe(info: dict) -> None:
    info["recipe"]["steps"] = 400


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (better_score, "seed 0: accuracy is"),
        (other_metric, "macro_f1 is 0.123, its predictions give"),
        (other_predictions, "its predictions give"),
        (no_predictions, "1 runs have none"),
        (more_predictions, "1 arrays are of no run of the cell"),
        (shorter_predictions, "has not one class a test row"),
        (seventh_class, "has not one class a test row"),
        (long_predictions, "an array is larger than one number a test row"),
        (other_text, "does not match its hash"),
        (other_label, "does not match its hash"),
        (other_set, "its run key is not that of this set"),
        (surplus_set, "no row refers to it"),
        (fewer_runs, "4 of the 3 × 2 planned runs"),
        (smaller_plan, "planned with 2 × 2 runs, the protocol wants 3 × 2"),
        (two_plans, "its rows disagree about the planned sets and seeds"),
        (failed_run, "2 rows are not ok"),
        (edited(drop_revision), "the pinned data have ''"),
        (edited(drop_rows), "test_rows is 39, the pinned data have 40"),
        (edited(other_recipe), "its recipe is not that of the learner"),
        (swapped_runs, "its run key is not that of this set"),
        (other_budget, "its sets have 4 rows a class"),
        (fewer_copies, "copies is 0.5, its texts give 1"),
        (fewer_words, "set_words is 3, its texts give"),
        (more_variety, "distinct_2 is 0.1, its texts give"),
        (better_labels, "label_agreement is 0.999, its texts give"),
        (other_environment, "environments.json: not the environments that the rows name"),
        (other_statistics, "statistics.csv, line 5: not what the rows give"),
        (other_column, "its columns are not those of a leaderboard: note"),
        (other_type, "column score holds"),
        (bad_status, "status must be ok, failed, skipped, not 'great'"),
        (repeated_row, "two rows for one run"),
        (path_as_hash, "column set_hash holds '../../../../etc', which is no key"),
        (head_with(suite="../toy"), "is no name for a file"),
        (head_with(suite="other"), "rows of suite 'toy', but bundle.json says 'other'"),
        (head_with(format=2), "this version reads format 1"),
        (head_with(rows=3), "48 rows, but bundle.json says 3"),
        (head_with(more=1), "it holds exactly format, suite, rows, benchmark"),
        (deep_json, "nested too deeply"),
        (no_parquet, "cannot be read as Parquet"),
        (unknown_task, "task 'moon' is in no catalogue here"),
    ],
)
def test_a_forged_bundle_is_caught_by_its_own_message(bundle, judge, spoil, said) -> None:
    spoil(bundle)
    code, problems, out = judge(bundle)
    assert code == 1, out
    assert said in " ".join(problems), out


def test_a_test_row_in_a_set_is_a_problem(bundle, judge, world) -> None:
    table = pd.read_parquet(world.assets / "datasets/toy/mood/default/test.parquet")
    bundle.set_with(table.text[0].upper() + " !")
    _, problems, _ = judge(bundle)
    assert "1 of its texts stand in the test split and not in the training pool" in str(problems)


class Trap:
    """Leaves a file behind if anyone unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("form", ["object array", "plain pickle"])
def test_nothing_is_unpickled(bundle, judge, tmp_path, form) -> None:
    sprung, path = tmp_path / "sprung", bundle.one("predictions/*.npz")
    with np.load(path) as arrays:
        key = arrays.files[0]
    trap = np.array([Trap(sprung)] * 40, dtype=object)
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(trap))
    else:
        buffer = io.BytesIO()
        np.save(buffer, trap, allow_pickle=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{key}.npy", buffer.getvalue())
    bundle.sign()
    code, problems, _ = judge(bundle)
    assert code == 1
    assert len(problems) == 1
    assert not sprung.exists()


def test_names_of_a_bundle_are_printed_as_one_clean_line(bundle, judge) -> None:
    bundle.change(lambda rows: rows.task == "mood", task="a\x1b[31m\nproblem: b\u202e")
    _, problems, out = judge(bundle)
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert not any(problem == "b" for problem in problems)


# Rows that stand in both splits


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
    before = (boards / "results" / "toy.parquet").read_bytes()
    assert judge(bundle, "--to", boards)[0] == 0
    assert (boards / "results" / "toy.parquet").read_bytes() == before


def test_an_invalid_bundle_is_never_merged(bundle, judge, tmp_path) -> None:
    boards = tmp_path / "leaderboards"
    (boards / "results").mkdir(parents=True)
    better_score(bundle)
    assert judge(bundle, "--to", boards)[0] == 1
    assert [path.name for path in boards.rglob("*")] == ["results"]


def test_a_store_is_bundled_checked_and_merged_at_once(cli, world, store, tmp_path) -> None:
    (tmp_path / "leaderboards" / "results").mkdir(parents=True)
    told = cli("submit", "--suite", "toy", "--to", tmp_path / "leaderboards", *world.flags(store))
    assert told.code == 0, told.err
    assert "valid: 24 cells" in told.out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "give --suite NAME to make a bundle, or --validate DIR"),
        (("--suite", "toy", "--validate", "x"), "give --suite NAME to make a bundle"),
        (("--suite", "toy"), "--suite needs --out DIR"),
        (("--suite", "toy", "--out", "a", "--to", "b"), "--suite needs --out DIR"),
        (("--validate", "x", "--out", "y"), "--out goes with --suite"),
        (("--validate", "x", "--to", "nowhere"), "--to nowhere: no leaderboards directory"),
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
