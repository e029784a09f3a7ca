"""A full disk, a read-only or newer store, damaged files: said clearly, nothing half-written."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from benchmark.preparations import unsent_preparations
from benchmark.store import Store

RUN = ["run", "--suite", "toy"]
NO_MLFLOW = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}


@pytest.fixture
def mount(tmp_path: Path) -> Iterator:
    """Mount a small file system in memory, where the machine lets us."""
    mounted: list[Path] = []

    def make(name: str, options: str) -> Path:
        place = tmp_path / name
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True)
        except FileNotFoundError:
            pytest.skip("there is no `mount` here")
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("free", [8, 400])
def test_a_full_disk(world, finished, mount, cli, process, rows_in, free) -> None:
    """Whatever cannot be written: a sentence, and the rest when there is room."""
    place = mount("disk", "size=4m")
    store = place / "store"
    filler = place / "filler"
    with filler.open("wb") as handle:
        handle.write(bytes(4 * 2**20 - 2**10 * free))
    told = process(*RUN, *world.flags(store), **NO_MLFLOW)
    assert told.code == 1
    assert "full" in told.message or "No space left" in told.message
    assert "make room, then run the same command again" in told.message.lower()
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
    again = cli(*RUN, *world.flags(store))
    assert again.code == 0, again.err
    pd.testing.assert_frame_equal(rows_in(store), rows_in(finished))
    halves = [path for path in store.rglob(".*") if "lock" not in path.name]
    assert not halves


def test_a_read_only_store(world, finished, mount, cli) -> None:
    place = mount("read-only", "size=64m")
    shutil.copytree(finished, place / "store")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    told = cli(*RUN, "--sets", "4", *world.flags(place / "store"))
    assert told.code == 1
    assert "--store" in told.message
    new = cli(*RUN, *world.flags(place / "other"))
    assert new.code == 1
    assert "--store" in new.message


@pytest.mark.parametrize("driver", ["ended", "killed"])
def test_whoever_looks_needs_no_right_to_write(
    world, finished, mount, cli, tmp_path, rows_in, driver
) -> None:
    """All verbs that only read, on a read-only store; a killed driver leaves the WAL's files."""
    key = sorted((finished / "sets").rglob("set.json"))[0].parent.name
    place = mount("read-only", "size=64m")
    shutil.copytree(finished, place / "store")
    if driver == "killed":
        writer = sqlite3.connect(place / "store" / "rows.sqlite", isolation_level=None)
        writer.execute("INSERT INTO meta VALUES ('last', 'word')")
        shutil.copytree(place / "store", place / "copy")
        writer.close()
        (place / "copy").rename(place / "store" / "copy")
    store = place / "store" / "copy" if driver == "killed" else place / "store"
    assert (store / "rows.sqlite-wal").exists() == (driver == "killed")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    flags, suite = world.flags(store), ["--suite", "toy"]
    for args in (
        ["plan", *suite],
        ["plan", *suite, "--why", "mood/random/2/tfidf-lr"],
        [*RUN, "--dry-run"],
        ["list", "sets"],
        ["show", key],
        ["leaderboard", *suite, "--out", tmp_path / "pages"],
        ["submit", *suite, "--out", tmp_path / "bundle"],
    ):
        told = cli(*args, *flags)
        assert told.code == 0, (args, told.err)
    assert (tmp_path / "pages" / "toy.md").is_file()
    assert (tmp_path / "bundle" / "SHA256SUMS").is_file()
    refused = cli("leaderboard", *suite, *flags)
    assert refused.code == 1
    assert "read-only file system" in refused.message.lower()
    assert "--store" in cli("track", "--sync", *flags).message


def test_looking_leaves_no_trace(world, store, cli) -> None:
    """Not even in a store that can be written, or that was left before its tables were made."""
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    for args in (["plan", "--suite", "toy"], ["list", "sets"], [*RUN, "--dry-run"]):
        assert cli(*args, *world.flags(store)).code == 0
    after = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    assert after == before
    (store / "rows.sqlite").write_bytes(b"")
    assert cli("plan", "--suite", "toy", *world.flags(store)).code == 0
    assert cli("list", "sets", *world.flags(store)).code == 0
    assert (store / "rows.sqlite").read_bytes() == b""


def test_a_store_from_a_newer_version(world, store, cli) -> None:
    database = sqlite3.connect(store / "rows.sqlite")
    database.execute("UPDATE meta SET value='99' WHERE name='schema'")
    database.commit()
    database.close()
    before = (store / "rows.sqlite").read_bytes()
    for args in (RUN, ["plan", "--suite", "toy"], ["leaderboard", "--suite", "toy"]):
        told = cli(*args, *world.flags(store))
        assert told.code == 2
        assert "written by a newer version of the benchmark (schema 99" in told.message
    assert (store / "rows.sqlite").read_bytes() == before


@pytest.mark.parametrize("where", ["head", "middle", "all"])
def test_a_damaged_database(world, store, finished, cli, rows_in, where) -> None:
    path = store / "rows.sqlite"
    content = bytearray(path.read_bytes())
    start = {"head": 0, "middle": 8192, "all": 0}[where]
    end = 100 if where == "head" else len(content)
    content[start:end] = b"\x5a" * (end - start)
    path.write_bytes(content)
    told = cli(*RUN, *world.flags(store))
    assert told.code == 2
    assert "damaged" in told.message
    assert "run the same command again" in told.message
    for file in store.glob("rows.sqlite*"):
        file.unlink()
    again = cli(*RUN, *world.flags(store))
    assert again.code == 0
    pd.testing.assert_frame_equal(rows_in(store), rows_in(finished))


def test_the_store_is_a_file(world, tmp_path, cli) -> None:
    (tmp_path / "file").write_text("")
    told = cli(*RUN, *world.flags(tmp_path / "file"))
    assert told.code == 2
    assert "this is a file, not a directory" in told.message


@pytest.mark.parametrize("more", [True, False], ids=["more", "same"])
@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_a_damaged_set_is_made_again(world, store, finished, cli, rows_in, how, more) -> None:
    """Also where the same command finds all trainings done."""
    spoil(sorted((store / "sets").rglob("rows.jsonl"))[0], how)
    key = sorted((store / "sets").rglob("rows.jsonl"))[0].parent.name
    if how != "gone":
        shown = cli("show", key, *world.flags(store))
        assert shown.code == 1
        assert f"distilled set {key}" in shown.message
        assert "The `run` command that filled the store makes it again" in shown.message
    learners = ["--learners", "tfidf-lr,tiny-bert,coin"] if more else []
    again = cli(*RUN, *learners, *world.flags(store))
    assert again.code == 0
    assert "(1 sets distilled" in again.out
    assert "making it again" in again.err
    after = rows_in(store)
    after = after[after.learner != "coin"].reset_index(drop=True)
    pd.testing.assert_frame_equal(after, rows_in(finished))


def test_a_store_of_which_sets_and_predictions_are_gone_is_filled_again(
    world, store, finished, cli, rows_in
) -> None:
    shutil.rmtree(store / "sets")
    shutil.rmtree(store / "predictions")
    again = cli(*RUN, *world.flags(store))
    assert again.code == 0, again.err
    pd.testing.assert_frame_equal(rows_in(store), rows_in(finished))
    key = sorted((store / "sets").glob("*"))[0].name
    assert cli("show", key, *world.flags(store)).code == 0


@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_damaged_features_are_made_again(world, store, finished, cli, rows_in, how) -> None:
    for path in sorted((store / "features").glob("*.npy")):
        spoil(path, how)
    shutil.rmtree(store / "sets")
    for file in store.glob("rows.sqlite*"):
        file.unlink()
    assert cli(*RUN, "--learners", "tfidf-lr", *world.flags(store)).code == 0
    expected = rows_in(finished).query("learner == 'tfidf-lr'").reset_index(drop=True)
    pd.testing.assert_frame_equal(rows_in(store), expected)


@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_damaged_notes_of_sets_and_features_are_made_again(
    world, store, finished, cli, rows_in, how
) -> None:
    """What describes a set or a matrix of features is damaged, and not what it describes."""
    spoil(sorted((store / "sets").rglob("set.json"))[0], how)
    for path in sorted((store / "features").glob("*.json")):
        spoil(path, how)
    again = cli(*RUN, "--learners", "tfidf-lr,tiny-bert,coin", *world.flags(store))
    assert again.code == 0, again.err
    assert "(1 sets distilled" in again.out
    after = rows_in(store)
    after = after[after.learner != "coin"].reset_index(drop=True)
    pd.testing.assert_frame_equal(after, rows_in(finished))


def test_a_damaged_state_is_made_again(world, tmp_path, cli, rows_in) -> None:
    """The sets that are still to be made are as if nothing had happened."""
    flags = [*RUN, "--methods", "learning", "--learners", "tfidf-lr", "--tasks-only", "mood"]
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    assert cli(*flags, "--sets", "4", *world.flags(calm)).code == 0
    assert cli(*flags, *world.flags(rough)).code == 0
    (state,) = (path for path in (rough / "states").iterdir() if path.is_dir())
    spoil(state / "journal.jsonl", "cut")
    spoil(state / "state.json", "cut")
    assert not told_of(rough)
    with pytest.warns(UserWarning, match=f"{state.name}: journal.jsonl is not what was written"):
        again = cli(*flags, "--sets", "4", *world.flags(rough))
    assert again.code == 0, again.err
    pd.testing.assert_frame_equal(rows_in(rough), rows_in(calm))
    assert not list((rough / "states").glob(".*damaged"))
    assert told_of(rough) == [state.name]


def told_of(root: Path) -> list[str]:
    """Prepared states of which MLflow would be told."""
    store = Store(root, writes=False)
    found = [found.key for found in unsent_preparations(store, "http://nowhere")]
    store.close()
    return found


def spoil(path: Path, how: str) -> None:
    """Damage a file."""
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:-3] + bytes(byte ^ 1 for byte in content[-3:]))
