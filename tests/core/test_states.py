"""Prepared states are made once, resumed after a kill, and tell what they took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from benchmark.core.journal import Journal
from benchmark.core.method import Method
from benchmark.core.seeding import numpy_generator
from benchmark.core.states import preparation_facts, prepare_state, shared_part
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
