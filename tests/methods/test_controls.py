"""The controls: class names, random rows of given lengths, generators crossed with selectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmark.core.effort import words_of
from benchmark.core.errors import BenchmarkError, InputError
from benchmark.core.method import METHODS, Budget, Generator, register
from benchmark.core.pool import Pool
from benchmark.core.services import Services
from benchmark.testing import parametrize_with_method_checks, toy_pool
from methods.random_length_matched import match_lengths


@register("toy-echo")
class Echo(Generator):
    """Writes what it finds in the pool."""

    def generate(self, pool, label, size, rng, state):
        return pool.texts(rng.choice(np.flatnonzero(pool.labels == label), size))


CROSSED = METHODS.build("crossed", {"generator": "toy-echo", "selector": "k-centers"})


@parametrize_with_method_checks(
    ["label-names-only", "random-length-matched", replace(CROSSED, oversample=3)]
)
def test_conformance(method, check):
    check(method)


# Label names


def test_rows_are_the_names_of_the_classes_in_words() -> None:
    labels = np.array([0, 1] * 4)
    pool = Pool("t", {"a": ["x"] * 8, "b": ["y"] * 8}, labels, ("Sci/Tech", "card_arrival"))
    made = METHODS.build("label-names-only").distil(
        pool, Budget.dpc(2, 2), np.random.default_rng(0)
    )
    assert made.columns["a"] == made.columns["b"] == ("Sci Tech",) * 2 + ("card arrival",) * 2
    assert list(made.labels) == [0, 0, 1, 1]


def test_a_name_of_marks_alone_stays_as_it_is() -> None:
    pool = Pool("t", {"a": ["x", "y"]}, np.array([0, 1]), ("+", "-"))
    made = METHODS.build("label-names-only").distil(
        pool, Budget.dpc(1, 2), np.random.default_rng(0)
    )
    assert made.columns["a"] == ("+", "-")


# Lengths


@pytest.fixture
def lengths_pool() -> Pool:
    """Class 0 has every length from 1 to 40 words, three times; class 1 only 5 words."""
    texts = [f"{'w ' * length}".strip() for length in range(1, 41) for _ in range(3)]
    texts += ["v v v v v"] * 50
    return Pool("t", {"text": texts}, np.repeat([0, 1], [120, 50]), ("a", "b"))


@register("toy-long-rows")
class LongRows(Generator):
    """Writes rows of 31 and 33 words in turn."""

    def generate(self, pool, label, size, rng, state):
        return {"text": [" ".join(["z"] * (31 + 2 * (row % 2))) for row in range(size)]}


def test_rows_have_the_lengths_of_the_other_methods_and_are_random(lengths_pool) -> None:
    method = METHODS.build("random-length-matched", {"like": "toy-long-rows"})
    sets = [
        method.distil(lengths_pool, Budget.dpc(4, 2), np.random.default_rng(seed))
        for seed in range(6)
    ]
    for made in sets:
        words = words_of(made.columns)
        assert sorted(words[made.labels == 0]) == [31, 31, 33, 33]
        assert set(words[made.labels == 1]) == {5}
        assert len(set(made.rows)) == 8
    assert len({made.rows for made in sets}) == 6


def test_the_nearest_free_length_is_taken_and_ties_are_drawn() -> None:
    there = np.array([1, 5, 5, 9])
    taken = match_lengths(there, [5, 5, 5, 5], np.random.default_rng(0))
    assert sorted(taken) == [0, 1, 2, 3]
    assert set(taken[:2]) == {1, 2}
    firsts = {
        match_lengths(np.array([4, 6, 20]), [5], np.random.default_rng(seed))[0]
        for seed in range(20)
    }
    assert firsts == {0, 1}


def test_what_the_other_method_needs_is_needed_here() -> None:
    assert METHODS.build("random-length-matched").encoders == ("minilm",)
    learned = METHODS.build("random-length-matched", {"like": "vanilla-lm"})
    assert learned.needs_preparation
    assert learned.models == ("gpt2",)
    assert not METHODS.build("random-length-matched", {"like": "random"}).needs_preparation
    with pytest.raises(InputError, match="it must be another one"):
        METHODS.build("random-length-matched", {"like": "random-length-matched"})
    with pytest.raises(InputError, match="unknown method 'k-centrs'"):
        _ = METHODS.build("random-length-matched", {"like": "k-centrs"}).encoders


# Crossing


@register("toy-numbers")
class Numbers(Generator):
    """Writes the numbers from 0 on."""

    def generate(self, pool, label, size, rng, state):
        return {"text": [f"number {row}" for row in range(size)]}


def numbers_pool() -> Pool:
    """A pool whose encoder reads the number off a text."""

    def encode(encoder, columns):
        numbers = [float(text.split()[-1]) for text in columns["text"]]
        return np.array(numbers, dtype=np.float32)[:, None]

    texts = {"text": ["number 0"] * 6}
    return Pool("t", texts, np.array([0, 1] * 3), ("a", "b"), services=Services(encode=encode))


def test_a_selector_chooses_among_the_rows_of_a_class_that_a_generator_wrote() -> None:
    method = METHODS.build("toy-numbers+herding", {"oversample": 11})
    made = method.distil(numbers_pool(), Budget.dpc(1, 2), np.random.default_rng(0))
    # Herding takes the row nearest the mean of 0 to 10.
    assert made.columns["text"] == ("number 5", "number 5")
    ends = METHODS.build("toy-numbers+k-center-greedy", {"oversample": 11})
    made = ends.distil(numbers_pool(), Budget.dpc(2, 2), np.random.default_rng(0))
    assert {"number 0", "number 10"} & set(made.columns["text"])


def test_a_crossing_is_a_method_with_a_name_and_parameters_of_its_own() -> None:
    method = METHODS.build("vanilla-lm-cpu+herding")
    assert method.name == "vanilla-lm-cpu+herding"
    assert method.params() == {
        "generator": "vanilla-lm-cpu", "selector": "herding", "oversample": 100, "settings": [],
    }  # fmt: skip
    assert method.writer.selection == "none"
    assert method.writer.generator == "tiny"
    assert not method.uses_external_lm
    assert method.needs_preparation
    assert METHODS.build("vanilla-lm+herding").models == ("gpt2",)
    assert "vanilla-lm-cpu+herding" not in METHODS.names()


def test_settings_go_to_the_generator() -> None:
    method = METHODS.build("vanilla-lm+random", {"settings": "lm_steps=5+top_p=0.5"})
    assert (method.writer.lm_steps, method.writer.top_p) == (5, 0.5)
    with pytest.raises(InputError, match="settings are written name=value"):
        METHODS.build("vanilla-lm+random", {"settings": "lm_steps"})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("herding+vanilla-lm", "herding is no generator; write GENERATOR\\+SELECTOR"),
        ("vanilla-lm+dilm", "dilm is no selector"),
        ("vanila-lm+herding", "unknown method 'vanila-lm'. Did you mean 'vanilla-lm'"),
        ("vanilla-lm+", "unknown method ''"),
    ],
)
def test_parts_that_do_not_fit_are_told(name, said) -> None:
    with pytest.raises(InputError, match=said):
        METHODS.build(name)


def test_a_selector_of_a_too_small_budget_still_refuses() -> None:
    method = METHODS.build("random-length-matched", {"like": "random"})
    with pytest.raises(BenchmarkError):
        method.distil(toy_pool(2, per_class=3), Budget.dpc(5, 2), np.random.default_rng(0))
