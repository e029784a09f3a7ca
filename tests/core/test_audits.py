"""Copies and shared 8-grams are those that a naive search finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.audits import NGRAM, TextIndex, distinct, normalise, tokens

quick = settings(max_examples=80, derandomize=True, deadline=None, database=None)
# Few words, long texts: chance repeats are common.
texts = st.lists(st.sampled_from(["a", "B", "c,", "a-b"]), max_size=20).map(" ".join)


def tables(columns):
    row = st.tuples(*[texts] * columns)
    return st.lists(row, min_size=1, max_size=6).map(
        lambda rows: {f"t{i}": list(column) for i, column in enumerate(zip(*rows, strict=True))}
    )


def grams(text):
    words = normalise(text).split()
    return {tuple(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)}


def naive_overlap(split, made):
    known = set().union(*(grams(text) for column in split.values() for text in column))
    rows = zip(*made.values(), strict=True)
    return np.mean([any(grams(text) & known for text in row) for row in rows])


def naive_copies(split, made):
    known = [[normalise(text) for text in row] for row in zip(*split.values(), strict=True)]
    rows = zip(*made.values(), strict=True)
    return np.mean([[normalise(text) for text in row] in known for row in rows])


@pytest.mark.parametrize("columns", [1, 2])
def test_equal_to_a_naive_search(columns):
    seen = set()

    @quick
    @given(tables(columns), tables(columns))
    def check(split, made):
        index = TextIndex(split)
        overlap, copies = index.overlap(made), index.copies(made)
        assert overlap == pytest.approx(naive_overlap(split, made))
        assert copies == pytest.approx(naive_copies(split, made))
        seen.add(overlap)

    check()
    assert {0.0, 1.0} < seen  # both answers, and some between, did occur


def test_copies_are_whole_rows_after_normalising():
    index = TextIndex({"one": ["A good, film!", "x"], "two": ["Yes.", "y"]})
    assert index.copies({"one": ["a GOOD film"], "two": ["yes"]}) == 1
    assert index.copies({"one": ["a good film", "x"], "two": ["y", "y"]}) == 0.5
    assert index.copies({"one": ["a good"], "two": ["yes"]}) == 0


def test_texts_without_a_word_are_copies_only_of_themselves():
    index = TextIndex({"text": ["!!!", "🙂", "word"]})
    assert index.copies({"text": ["???", "🙁", "🙂", "!!!"]}) == 0.5


def test_no_gram_spans_two_texts():
    eight = list("abcdefgh")
    index = TextIndex({"text": [" ".join(eight[:4]), " ".join(eight[4:])]})
    assert index.overlap({"text": [" ".join(eight)]}) == 0
    index = TextIndex({"text": ["x " + " ".join(eight) + " y"]})
    assert index.overlap({"text": [" ".join(eight), " ".join(eight[:7])]}) == 0.5
    assert index.overlap({"text": [" ".join(eight[::-1])]}) == 0


def test_a_split_without_an_eight_gram():
    assert TextIndex({"text": ["short"]}).overlap({"text": ["a b c d e f g h i"]}) == 0
    assert TextIndex({"text": ["a b c d e f g h i"]}).overlap({"text": ["short", "b"]}) == 0


def test_normalise():
    assert normalise("  The Film's\n\tÉLAN—42! ") == "the film s élan 42"
    assert normalise(" ! ? ") == "! ?"


def test_distinct_ngrams_are_a_share_of_all_and_no_text_runs_into_the_next():
    columns = {"text": ["a good film", "A good, film!", "no"]}
    assert distinct(columns, 1) == 4 / 7
    assert distinct(columns, 2) == 2 / 4
    assert distinct({"text": ["one", "two"]}, 2) == 1
    assert distinct({"a": ["x y", "x y"], "b": ["x y", "z"]}, 2) == 1 / 3


def test_tokens_are_words_and_marks():
    assert tokens({"a": ["a film, it's ok.", ""], "b": ["!!", "two words"]}) == 8 + 2 + 2
