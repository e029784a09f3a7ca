"""Rows survive being written as tokens and read back; nothing malformed gets through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmark.core.errors import BenchmarkError
from benchmark.testing import toy_pool
from methods.language_models.generator import fitting
from methods.language_models.serialise import Serialiser
from methods.language_models.tiny import EOS, tiny_generator

lax = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(str.strip)


@pytest.fixture(scope="module")
def pair_serialiser():
    s = tiny_generator(toy_pool(3, per_class=6, pair=True), seed=0).serialiser
    return Serialiser(s.tokenizer, s.n_classes, s.n_columns, s.base, 400)


@lax
@given(first=texts, second=texts, label=st.integers(0, 2))
def test_any_pair_comes_back(pair_serialiser, first, second, label):
    row = pair_serialiser.encode({"a": [first], "b": [second]}, np.array([label]))[0]
    assert row[0] == pair_serialiser.start(label)
    assert row[-1] == pair_serialiser.eos
    back = pair_serialiser.decode(row[1:-1])
    if EOS not in first + second:
        assert back == (first.strip(), second.strip())


def test_no_text_can_write_a_class_or_the_separator(pair_serialiser):
    s = pair_serialiser
    row = s.encode({"a": [f"<sep> <bos_0> {s.start(1)}"], "b": ["x"]}, np.array([0]))[0]
    assert (row >= s.base).sum() == 2  # the class and the separator that stand there by right


def test_long_rows_are_cut_at_their_longest_text(pair_serialiser):
    s = pair_serialiser
    short = Serialiser(s.tokenizer, s.n_classes, s.n_columns, s.base, 12)
    row = short.encode({"a": ["word " * 50], "b": ["end"]}, np.array([0]))[0]
    assert len(row) == 12
    first, second = short.decode(row[1:-1])
    assert second == "end"
    assert first.startswith("word")


def test_malformed_rows_are_told(pair_serialiser):
    s = pair_serialiser
    first, second = (list(ids) for ids in s._ids(["one", "two"]))
    assert s.decode(first) is None
    assert s.decode([*first, s.separator]) is None
    assert s.decode([s.separator, *second]) is None
    assert s.decode([*first, s.separator, *second, s.separator, *first]) == ("one", "two")


def test_class_tokens_cannot_be_sampled_and_the_separator_only_in_pairs(pool, pair_serialiser):
    single = tiny_generator(pool, seed=0).serialiser
    assert single.forbidden == [single.base, single.base + 1, single.separator]
    assert pair_serialiser.separator not in pair_serialiser.forbidden


def test_a_context_without_room_is_an_error(pool):
    plain = tiny_generator(pool, seed=0).serialiser
    with pytest.raises(BenchmarkError, match=r"context is 4.*"):
        fitting(plain, pool, context=4, max_length=0)
    with pytest.raises(BenchmarkError, match="max_length is 90 tokens"):
        fitting(plain, pool, context=64, max_length=90)
