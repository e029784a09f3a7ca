"""Prepared states are made once, resumed after a kill, and tell what they took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from benchmark.core import state_digest
from benchmark.core.journal import FILE, Journal
from benchmark.core.keys import sha256_file
from benchmark.core.method import Method
from benchmark.core.seeding import numpy_generator
from benchmark.core.states import preparation_facts, prepare_state, shared_part, take_part
from benchmark.testing import toy_pool


@dataclass(frozen=True)
class Learns(Method):
    """Writes down the number that its generator draws first."""

    name: ClassVar[str] = "learns"

    def prepare(self, pool, rng, folder):
        with (folder / "tries").open("a") as handle:
            handle.write("x")
        journal = Journal(folder)
        with journal.phase("thinking"):
            journal.log("loss", 1, 0.5)
            if not (folder / "go").exists():
                (folder / "go").touch()
                raise KeyboardInterrupt
            journal.log("loss", 1, 0.25)
        journal.find("answer", 42)
        (folder / "number").write_text(str(rng.random()))

    def distil(self, pool, budget, rng, state=None):
        raise AssertionError


def test_a_killed_preparation_is_found_again_and_then_never_repeated(tmp_path):
    pool, folder = toy_pool(2), tmp_path / "states" / "key"
    with pytest.raises(KeyboardInterrupt):
        prepare_state(Learns(), pool, folder, seed=1)
    assert not folder.exists()
    assert prepare_state(Learns(), pool, folder, seed=1) == folder
    prepare_state(Learns(), pool, folder, seed=1)
    assert (folder / "tries").read_text() == "xx"
    assert (folder / "number").read_text() == str(numpy_generator(1).random())
    assert Journal(folder).curves() == {"loss": {1: 0.25}}
    facts = preparation_facts(folder)
    assert facts["found_answer"] == 42
    assert facts["prepare_seconds"] == facts["phase_thinking"] > 0


def test_parts_are_shared_by_what_they_are_made_of(tmp_path):
    made: list[float] = []

    def make(folder, rng: np.random.Generator):
        made.append(rng.random())
        (folder / "it").touch()

    states = [tmp_path / "one", tmp_path / "two"]
    pool = toy_pool(2)
    first, second = (shared_part(s, pool, "model", {"size": 1}, make) for s in states)
    assert first == second
    assert (first / "it").exists()
    assert len(made) == 1
    shared_part(states[0], pool, "model", {"size": 2}, make)
    shared_part(states[0], toy_pool(3), "model", {"size": 1}, make)
    shared_part(states[0], pool, "bank", {"size": 1}, make)
    assert len(set(made)) == 4


def test_a_line_that_a_kill_cut_short_is_left_out(tmp_path):
    journal = Journal(tmp_path)
    journal.log("loss", 1, 0.5)
    journal.find("cosine", 0.9)
    journal.find("cosine", 0.95)
    with journal.path.open("a") as handle:
        handle.write('{"curve": "loss", "st')
    assert journal.curves() == {"loss": {1: 0.5}}
    assert journal.findings() == {"cosine": 0.95}


def test_phases_add_up_over_tries(tmp_path):
    for _ in range(2):
        journal = Journal(tmp_path)
        with journal.phase("training"):
            journal.lap()
    lines = [line for line in Journal(tmp_path).lines() if "phase" in line]
    assert len(lines) == 4
    total = sum(line["seconds"] for line in lines)
    assert Journal(tmp_path).phases() == {"training": pytest.approx(total)}


@dataclass(frozen=True)
class Sharing(Method):
    """Takes a model that it shares, as dilm does, and adds numbers of its own."""

    name: ClassVar[str] = "sharing"

    def prepare(self, pool, rng, folder):
        def make(partial, rng):
            (partial / "model").mkdir()
            save_file({"weights": rng.random(50)}, partial / "model" / "weights.safetensors")
            Journal(partial).find("loss", 0.5)

        take_part(folder, "model", [shared_part(folder, pool, "model", {}, make)])
        np.save(folder / "numbers.npy", rng.random(100))
        (folder / "plan.json").write_text('{"steps": 3}')

    def distil(self, pool, budget, rng, state=None):
        raise AssertionError


FILES = ["model/weights.safetensors", "numbers.npy", "plan.json"]


@pytest.fixture
def folder(tmp_path):
    return prepare_state(Sharing(), toy_pool(2), tmp_path / "states" / "key", seed=1)


@pytest.fixture
def again(folder, monkeypatch):
    """Ask for the state as a new process does."""

    def ask():
        monkeypatch.setattr(state_digest, "_hashes", {})
        assert prepare_state(Sharing(), toy_pool(2), folder, seed=1) == folder

    return ask


def content(folder):
    return [(folder / name).read_bytes() for name in FILES]


def spoil(path, how):
    """In place, so that hard links are spoilt with it."""
    whole = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        flipped = whole[:-3] + bytes(byte ^ 1 for byte in whole[-3:])
        path.write_bytes({"changed": flipped, "cut": whole[: len(whole) // 2], "empty": b""}[how])


@pytest.mark.parametrize("how", ["changed", "cut", "empty", "gone"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_state_is_made_again(folder, again, name, how):
    """And the part with it, whose file the state has by a hard link."""
    before = content(folder)
    (part,) = folder.parent.glob("part-*")
    shared = (part / FILES[0]).read_bytes()
    spoil(folder / name, how)
    with pytest.warns(UserWarning, match=rf"key: {name} is .*: making it again"):
        again()
    assert content(folder) == before
    assert (part / FILES[0]).read_bytes() == shared
    assert sorted(path.name for path in folder.parent.iterdir() if path.is_dir()) == [
        "key", part.name,
    ]  # fmt: skip
    again()


def test_what_a_part_has_lost_the_state_still_has(folder, again):
    (part,) = folder.parent.glob("part-*")
    before = content(folder)
    (part / FILES[0]).unlink()
    again()
    assert content(folder) == before
    with pytest.warns(UserWarning, match="making it again"):
        shared_part(folder, toy_pool(2), "model", {}, lambda partial, rng: None)


def test_a_process_reads_a_state_once_and_notices_a_change(folder, monkeypatch):
    read = []

    def sha256(path):
        read.append(path.name)
        return sha256_file(path)

    monkeypatch.setattr(state_digest, "_hashes", {})
    monkeypatch.setattr(state_digest, "sha256_file", sha256)
    for _ in range(2):
        prepare_state(Sharing(), toy_pool(2), folder, seed=1)
    assert sorted(read) == sorted([FILE, *(name.rpartition("/")[2] for name in FILES)])
    spoil(folder / "plan.json", "cut")
    with pytest.warns(UserWarning, match=r"plan\.json is not what was written"):
        prepare_state(Sharing(), toy_pool(2), folder, seed=1)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": [1]}'])
def test_a_digest_that_cannot_be_read_is_damage(folder, again, text):
    (folder / state_digest.DIGEST).write_text(text)
    with pytest.warns(UserWarning, match=r"digest\.json cannot be read: making it again"):
        again()


@pytest.mark.parametrize("name", FILES)
def test_a_state_of_an_older_store_is_taken_where_it_can_be_read(folder, again, name):
    (folder / state_digest.DIGEST).unlink()
    (folder / "notes.txt").write_text("")
    again()
    assert (folder / "notes.txt").exists(), "it was made again"
    spoil(folder / name, "cut")
    with pytest.warns(UserWarning, match=f"{name} cannot be read: making it again"):
        again()
    assert load_file(folder / FILES[0])["weights"].shape == (50,)
    again()


@pytest.mark.parametrize("how", ["changed", "cut", "empty", "gone"])
def test_what_was_added_to_a_part_is_not_lost_with_its_description(tmp_path, how):
    """Answers that were paid for are kept in a part that grows."""

    def ask():
        return shared_part(tmp_path / "set", toy_pool(2), "answers", {}, lambda folder, rng: None)

    part = ask()
    (part / "answers.jsonl").write_text("yes")
    whole = (part / "state.json").read_text()
    assert not (part / state_digest.DIGEST).exists()  # whose damage would cost the answers
    spoil(part / "state.json", how)
    assert ask() == part
    assert (part / "answers.jsonl").read_text() == "yes"
    assert (part / "state.json").read_text() == whole


def test_a_killed_try_goes_on_without_what_cannot_be_read(tmp_path):
    partial = tmp_path / "states" / "key.partial"
    partial.mkdir(parents=True)
    (partial / "go").touch()
    (partial / "tries").write_text("x")
    (partial / "checkpoint.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"checkpoint\.safetensors cannot be read: going on"):
        folder = prepare_state(Learns(), toy_pool(2), tmp_path / "states" / "key", seed=1)
    assert (folder / "tries").read_text() == "xx"
    assert not (folder / "checkpoint.safetensors").exists()
