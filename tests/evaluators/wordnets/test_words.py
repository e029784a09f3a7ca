"""Texts are split into the words of GloVe's corpora, and words into their numbers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from tiny_vectors import WORDS, vectors_of_words

from benchmark.core.words import UNKNOWN, WordVectors, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't like it's...", "i do n't like it 's ..."),
        ("Well-made, U.S. films\u2014they're", "well-made , u.s. films \u2014 they 're"),
        ("1,000.5% BAD!", "1,000.5 % bad !"),
        ("can\u2019t do n't (it 's)", "ca n't do n't ( it 's )"),
        (" \n", ""),
    ],
)
def test_words_are_split_as_in_gloves_corpora(text, words):
    assert " ".join(split_words(text)) == words


def test_ids_keep_the_place_of_unknown_words_and_split_at_hyphens():
    vectors = WordVectors.of(WORDS, vectors_of_words())
    good, film = WORDS.index("good"), WORDS.index("film")
    assert vectors.ids("Good zzz film", 128) == [good, UNKNOWN, film]
    assert vectors.ids("good-film good-zzz", 128) == [good, film, good, UNKNOWN]
    assert vectors.ids("good-film film", 1) == [good]
    assert vectors.ids(" ", 128) == [UNKNOWN]
    assert WordVectors.of(["a", "b", "a"], np.eye(3)).number == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    ("first", "second", "kept"), [(9, 9, (4, 4)), (2, 9, (2, 6)), (9, 2, (6, 2)), (3, 4, (3, 4))]
)
def test_each_part_of_a_pair_keeps_half_of_the_words_at_least(first, second, kept):
    vectors = WordVectors.of(WORDS, vectors_of_words())
    texts = vectors.read({"a": ["good " * first], "b": ["bad " * second]}, 8)
    assert len(texts.words.ids) == sum(kept)
    (row,) = texts.table[texts.words.ids[None]]
    table = vectors.vectors
    good, bad = table[WORDS.index("good")], table[WORDS.index("bad")]
    np.testing.assert_array_equal(row, [good] * kept[0] + [bad] * kept[1])
