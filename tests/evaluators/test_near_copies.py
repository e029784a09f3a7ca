"""A row and its edited copies are one group; rows that merely share stop words are not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.core.method import METHODS, Budget
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from evaluators import near_copies
from evaluators.near_copies import groups_of

SENTENCE = "the quick brown fox jumps over a lazy dog"


@pytest.mark.parametrize(
    ("copy", "same"),
    [
        (SENTENCE, True),
        ("Dog lazy, a OVER jumps fox brown quick the!", True),
        (SENTENCE.replace("fox", "cat"), True),
        (f"{SENTENCE} again", True),
        ("quick brown fox jumps over lazy dog", True),
        ("the slow brown cow walks over a green hill", False),
        ("fox", False),
    ],
)
def test_edits_are_copies_and_other_sentences_are_not(copy, same):
    groups = groups_of([SENTENCE, "something else altogether", copy])
    assert groups[0] != groups[1]
    assert (groups[0] == groups[2]) == same


def test_a_chain_of_copies_is_one_group_and_blocks_change_nothing(monkeypatch):
    words = [f"w{i}" for i in range(20)]
    texts = [" ".join(words[i : i + 8]) for i in range(12)]
    rng = numpy_generator(0)
    texts += [" ".join(rng.choice(words, 5)) for _ in range(30)]
    whole = groups_of(texts)
    assert len(set(whole[:12])) == 1
    monkeypatch.setattr(near_copies, "BLOCK", 5)
    np.testing.assert_array_equal(groups_of(texts), whole)


def test_texts_without_words_are_texts_all_the_same():
    groups = groups_of(["!!!", "?", "!!!", "a"])
    assert groups[0] == groups[2]
    assert len(set(groups)) == 3


def test_against_the_definition():
    rng = numpy_generator(3)
    texts = [" ".join(rng.choice(list("abcdefghij"), rng.integers(1, 7))) for _ in range(60)]
    words = [set(text.split()) for text in texts]
    expected = np.arange(60)
    for i in range(60):
        for j in range(i):
            if 5 * len(words[i] & words[j]) >= 3 * len(words[i] | words[j]):
                expected[expected == expected[i]] = expected[j]
    found = groups_of(texts)
    np.testing.assert_array_equal(
        found[:, None] == found[None], expected[:, None] == expected[None]
    )


def test_all_copies_of_eda_stand_with_their_original():
    rng = numpy_generator(5)
    words = [f"w{i}" for i in range(400)]
    texts = [" ".join(rng.choice(words, rng.integers(8, 25), replace=False)) for _ in range(20)]
    pool = Pool("task", {"text": texts}, np.arange(20) % 2, ("no", "yes"))
    method = METHODS.build("eda", {"synonyms": "none"})
    made = method.distil(pool, Budget((3, 3)), numpy_generator(1), None)
    groups = groups_of(made.columns["text"])
    assert [len(set(groups[start : start + 10])) for start in range(0, 60, 10)] == [1] * 6
    assert len(set(groups)) == 6
