"""A row is found inside other texts whatever surrounds it; a changed or short one is not."""

from __future__ import annotations

import time
import unicodedata

import numpy as np
import pytest

from evaluators.containment import LOOKALIKES, RowFinder, folded

ROW = "The plot was thin, but the cast was funny."


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        (ROW, True),
        (ROW.upper(), True),
        (f"{ROW} Indeed", True),
        (f"I say: {ROW} So there. Another sentence", True),
        (ROW.replace("a", "а").replace("o", "ο"), True),  # Cyrillic and Greek
        (ROW.upper().replace("H", "Η").replace("B", "В"), True),
        (ROW.replace("plot", "pl\u200bo\u0301t"), True),
        ("".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in ROW), True),  # full width
        (ROW.replace(" ", "_"), True),
        (ROW.replace("thin", "thick"), False),
        ("the plot was thin but the", False),
        (f"{ROW[:-1]}ier", False),
    ],
)
def test_a_row_is_found_inside_a_text(text, is_found):
    finder = RowFinder({"text": ["other words", ROW, "!!"]})
    assert finder.found({"text": ["something", text]}) == ({1} if is_found else set())


def test_a_short_row_is_found_only_where_a_text_says_the_same():
    finder = RowFinder({"text": ["good film", "!!", "good film"]})
    assert finder.found({"text": ["Good  film!"]}) == {0, 2}
    assert finder.found({"text": ["a good film", "!?"]}) == set()


@pytest.mark.parametrize(
    ("first", "second", "is_found"),
    [
        ("Is it late?", "he asked her if it was late", True),
        ("he asked her if it was late", "Is it late?", True),
        (" he asked her if it was late, is it late", "nothing", True),
        ("so he asked her if it was late", "is it late or not", True),
        ("he asked her if it was late", "nothing", False),
        ("is it late", "he told her", False),
    ],
)
def test_a_pair_is_found_in_either_order_or_in_one_text(first, second, is_found):
    finder = RowFinder({"a": ["Is it late?"], "b": ["he asked her if it was late"]})
    assert finder.found({"a": [first], "b": [second]}) == ({0} if is_found else set())


def test_lookalikes_are_letters_and_fold_to_latin_ones():
    for other, latin in LOOKALIKES.items():
        assert unicodedata.category(chr(other)).startswith("L")
        assert folded(chr(other)) == latin
        assert latin.isascii()
        assert latin.islower()


def test_it_agrees_with_a_search_of_the_plain_way():
    rng = np.random.default_rng(0)
    rows = [" ".join(rng.choice(["a", "b"], rng.integers(1, 10))) for _ in range(60)]
    texts = [" ".join(rng.choice(["a", "b"], rng.integers(1, 40))) for _ in range(40)]
    expected = {
        place
        for place, row in enumerate(rows)
        if any(
            row == text or (len(row.split()) >= 6 and f" {row} " in f" {text} ") for text in texts
        )
    }
    assert 10 < len(expected) < 60
    assert RowFinder({"text": rows}).found({"text": texts}) == expected


def test_half_a_million_words_are_searched_in_seconds():
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(5000)])
    texts = [" ".join(rng.choice(words, 100)) for _ in range(5000)]
    finder = RowFinder({"text": texts[:1000]})
    begun = time.process_time()
    assert len(finder.found({"text": texts})) == 1000
    assert time.process_time() - begun < 10
