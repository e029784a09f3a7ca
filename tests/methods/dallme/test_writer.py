"""Rows become ids and come back; what the grammar lets through is always a whole row."""

import numpy as np
import pytest
import torch

from benchmark.core.assets import load_tokenizer
from benchmark.core.pool import Pool
from benchmark.core.seeding import torch_generator
from methods.inversion.writer import Grammar, own_writer, t5_writer

ODD = ["plain words", "Ünïcødé — 中文 😀", "tabs\tand\nlines", "a", "x" * 40]


def pool_of(columns):
    n = len(next(iter(columns.values())))
    return Pool("t", columns, np.arange(n) % 2, ["x", "y"])


def test_texts_come_back_as_they_were():
    writer = own_writer(pool_of({"text": ODD}), 200)
    rows, cut = writer.encode({"text": [f" {text} " for text in ODD]})
    assert not cut.any()
    assert [writer.decode(row) for row in rows] == [(text,) for text in ODD]
    assert all(row[-1] == writer.eos and (row[:-1] != writer.eos).all() for row in rows)


def test_pairs_come_back_and_share_the_room():
    columns = {"one": ["a b c d e f g h i j k l", "a"], "two": ["z y x", "z"]}
    writer = own_writer(pool_of(columns), 12)
    rows, cut = writer.encode(columns)
    assert cut.tolist() == [True, False]
    assert len(rows[0]) == 12
    first, second = writer.decode(rows[0])
    assert columns["one"][0].startswith(first)
    assert second == "z y x"  # the shorter text is whole
    assert writer.decode(rows[1]) == ("a", "z")


def test_special_words_in_a_text_are_no_separators():
    writer = own_writer(pool_of({"text": ["ordinary text"]}), 100)
    rows, _ = writer.encode({"text": ["text"]})
    assert writer.separator not in rows[0]


def generated(writer, size, seed, favourite=None):
    """Sample rows at random under the grammar, as `generate` calls it; `favourite` ids win."""
    grammar, rng = Grammar(writer), torch_generator(seed)
    ids = torch.full((40, 1), writer.pad)
    for _ in range(writer.max_length):
        scores = torch.rand(40, size, generator=rng)
        if favourite is not None:
            scores[:, favourite] += 10
        ids = torch.cat([ids, grammar(ids, scores).argmax(1, keepdim=True)], dim=1)
    return [writer.decode(row) for row in ids[:, 1:].tolist()]


@pytest.mark.parametrize("n_columns", [1, 2])
@pytest.mark.parametrize("favourite", [None, "eos", "pad", "separator", "space"])
def test_the_grammar_lets_whole_rows_through_only(n_columns, favourite):
    columns = {f"c{i}": ODD for i in range(n_columns)}
    writer = own_writer(pool_of(columns), 16)
    space = writer.tokenizer.convert_tokens_to_ids("Ġ")
    ids = {"space": space, None: None}
    wanted = ids[favourite] if favourite in ids else getattr(writer, favourite)
    for row in generated(writer, len(writer.tokenizer), seed=1, favourite=wanted):
        assert len(row) == n_columns
        assert all(text.strip() for text in row)


@pytest.mark.parametrize("n_columns", [1, 2])
def test_t5s_own_tokenizer(tiny_t5, n_columns):
    writer = t5_writer(load_tokenizer(tiny_t5), n_columns, 16)
    columns = {f"c{i}": ["bando the belim", "the"] for i in range(n_columns)}
    rows, _ = writer.encode(columns)
    assert [writer.decode(row) for row in rows] == [
        ("bando the belim",) * n_columns,
        ("the",) * n_columns,
    ]
    for row in generated(writer, len(writer.tokenizer) + 3, seed=0):
        assert len(row) == n_columns
        assert all(text.strip() for text in row)
