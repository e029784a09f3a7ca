"""EDA: each edit does what it says and no more, with real word vectors made here."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import BenchmarkError, InputError
from benchmark.core.method import METHODS, Budget
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from benchmark.core.services import Services
from benchmark.testing import parametrize_with_method_checks, toy_pool
from methods.eda import delete, how_many, insert, part, replace, swap
from methods.word_neighbours import neighbours

quick = settings(max_examples=50, derandomize=True, deadline=None, database=None)
SYNONYMS = {"good": ["great", "fine"], "film": ["movie"]}
WORDS = ["A", "good", "film,", "is", "(Good)", "but", "42", "long", "!"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1)


@parametrize_with_method_checks(["eda"])
def test_conformance(method, check):
    check(method)


@pytest.fixture(scope="module")
def glove(tmp_path_factory):
    """Two bundles of words and one word by itself; `the` is a stop word, `ab1` has a digit."""
    folder = tmp_path_factory.mktemp("glove")
    words = ["the", "good", "great", "fine", "film", "movie", "lonely", "ab1"]
    angles = np.deg2rad([0, 0, 10, 30, 90, 95, 200, 1])
    lengths = np.arange(1, len(words) + 1)
    rows = zip(words, lengths * np.cos(angles), lengths * np.sin(angles), strict=True)
    lines = [f"{word} {x:.6f} {y:.6f}" for word, x, y in rows]
    (folder / "vectors.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_neighbours_are_near_words_nearest_first(glove):
    found = neighbours(glove, ["good", "film", "the", "lonely", "ab1", "unheard-of"])
    assert found == {"good": ["great", "fine"], "film": ["movie"]}


def test_a_word_is_looked_up_without_its_marks_and_keeps_them():
    for word, core in [('("Good!)', "good"), ("don't", "don't"), ("--", ""), ("U.S.", "u.s")]:
        assert part(word).core == core
    assert part('("Good!)').dressed("great") == '("Great!)'
    assert part("good,").dressed("great") == "great,"


def test_replacement_changes_so_many_words_wherever_they_stand():
    words = ["A", "good", "film,", "a", "Good", "film"]
    rng = numpy_generator(0)
    once = [replace(words, 1, SYNONYMS, rng) for _ in range(20)]
    changed = {tuple(i for i, w in enumerate(made) if w != words[i]) for made in once}
    assert changed == {(1, 4), (2, 5)}
    twice = replace(words, 5, SYNONYMS, rng)
    assert twice[2] == "movie,"
    assert twice[1].lower() == twice[4].lower() != "good"
    assert twice[4][0].isupper()
    assert replace(["none", "known"], 1, SYNONYMS, rng) == ["none", "known"]


@quick
@given(TEXTS, st.integers(1, 4), st.integers(0, 99))
def test_insertion_adds_synonyms_and_keeps_the_rest_in_order(words, count, seed):
    made = insert(words, count, SYNONYMS, numpy_generator(seed))
    added = Counter(made) - Counter(words)
    has_any = any(part(word).core in SYNONYMS for word in words)
    assert sum(added.values()) == (count if has_any else 0)
    assert set(added) <= {"great", "fine", "movie"}
    rest = iter(made)
    assert all(word in rest for word in words)


@quick
@given(TEXTS, st.integers(1, 4), st.integers(0, 99))
def test_swaps_keep_the_words(words, count, seed):
    made = swap(words, count, numpy_generator(seed))
    assert sorted(made) == sorted(words)
    assert sum(a != b for a, b in zip(made, words, strict=True)) <= 2 * count


@quick
@given(TEXTS, st.floats(0.01, 0.99), st.integers(0, 99))
def test_deletion_keeps_an_ordered_part_that_is_not_empty(words, probability, seed):
    made = delete(words, probability, numpy_generator(seed))
    assert made
    rest = iter(words)
    assert all(word in rest for word in made)


def test_deletion_takes_the_share_that_was_asked_for():
    kept = len(delete(["word"] * 20_000, 0.1, numpy_generator(0)))
    assert kept == pytest.approx(18_000, abs=200)


@pytest.mark.parametrize(("length", "count"), [(1, 1), (9, 1), (20, 2), (35, 3)])
def test_a_tenth_of_the_words_is_changed(length, count):
    assert how_many(["word"] * length, 0.1) == count


def test_a_set_is_drawn_rows_with_nine_copies_in_equal_shares(glove):
    texts = [f"good film {i} number long words here" for i in range(12)]
    services = Services(model=lambda name: {"glove-50d": glove}[name])
    pool = Pool("t", {"text": texts}, np.repeat([0, 1], 6), ["x", "y"], services=services)
    method = METHODS.build("eda")
    assert method.models == ("glove-50d",)
    made = method.distil(pool, Budget.dpc(3, 2), numpy_generator(1))
    assert np.bincount(made.labels).tolist() == [30, 30]
    rows = made.columns["text"]
    originals = rows[::10]
    assert len(set(originals)) == 6
    assert set(originals) <= set(texts)
    kinds = Counter()
    for start, original in zip(range(0, 60, 10), originals, strict=True):
        words = Counter(original.split())
        for copy in rows[start + 1 : start + 10]:
            more, less = Counter(copy.split()) - words, words - Counter(copy.split())
            kinds[(bool(more), bool(less))] += 1
    # swaps change no word and deletions may by chance; each edit has two or three turns of nine
    assert 12 <= kinds[(True, True)] <= 18
    assert 12 <= kinds[(True, False)] <= 18
    assert kinds[(False, False)] + kinds[(False, True)] == 54 - sum(
        kinds[(True, less)] for less in (True, False)
    )


def test_both_texts_of_a_pair_are_edited():
    pool = toy_pool(2, pair=True)
    made = METHODS.build("eda", {"synonyms": "none", "alpha": 0.5}).distil(
        pool, Budget.dpc(2, 2), numpy_generator(0)
    )
    assert len(made) == 40
    for texts in made.columns.values():
        assert any(texts[i] != texts[0] for i in range(1, 10))


def test_a_class_that_is_too_small_and_bad_parameters():
    pool = toy_pool(2, per_class=3)
    with pytest.raises(BenchmarkError, match="has 3 examples, fewer than the 4 to draw"):
        METHODS.build("eda", {"synonyms": "none"}).distil(
            pool, Budget.dpc(4, 2), numpy_generator(0)
        )
    for params, words in (({"alpha": 1.0}, "alpha is 1.0"), ({"times": 0}, "times is 0")):
        with pytest.raises(InputError, match=words):
            METHODS.build("eda", params)
