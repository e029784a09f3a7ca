"""Keys are canonical, carry their version, and can say what changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core import keys
from benchmark.core.keys import (
    Key,
    canonical_json,
    changed_ingredients,
    combine,
    features_key,
    fingerprint_array,
    fingerprint_texts,
    run_key,
    set_key,
    state_key,
)

quick = settings(max_examples=60, derandomize=True, deadline=None, database=None)
scalars = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())
tables = st.dictionaries(st.text(max_size=4), scalars, max_size=4)
columns = st.integers(0, 4).flatmap(
    lambda n: st.dictionaries(
        st.sampled_from(["text", "a", "b"]),
        st.lists(st.text(max_size=5), min_size=n, max_size=n),
        min_size=1,
        max_size=2,
    )
)
SET = {
    "method": "k-centers",
    "params": {"encoder": "minilm"},
    "method_version": 1,
    "pool": "p" * 40,
    "dpc": 10,
    "set_index": 3,
    "protocol_seed": 0,
    "encoders": {"minilm": "e" * 40},
}
RUN = {
    "set_hash": "s" * 40,
    "learner": "tfidf-lr",
    "recipe": {"C": 1.0},
    "learner_version": 1,
    "models": {},
    "test": "t" * 40,
    "metric": "accuracy",
    "seed": 7,
}


def test_golden_digests():
    # If one of these changes, every stored result is orphaned: raise a version instead.
    assert set_key(**SET).digest == "cc8e034e5d6acef2b6ca4ef3fd431c1456a82e96"
    assert run_key(**RUN).digest == "a78cbc13d13d3701c534f4def08ea432c774cd8a"
    assert features_key(texts="t", encoder="e").digest == "68f7cd6af283d731fe34426a4fa45648e7a168de"
    assert fingerprint_texts({"text": ["a", "é"]}) == "adb0f2aa64e4fd54eeb57dc59a2740af1e4baddb"
    assert (
        fingerprint_array(np.arange(3, dtype=np.int64))
        == "129d7c8430eea69d8dc239e7cde4a4574ff8ecb9"
    )
    assert combine("a", 1, ["b", "c"]) == "b1d9ea068fb8044e5aad019f24a5e6c09c3aceab"


def test_key_and_digest():
    key = set_key(**SET)
    assert str(key) == key.digest
    assert len(key.digest) == 40
    assert key.ingredients["version"] == keys.VERSIONS["set"]
    assert key.ingredients["kind"] == "set"


@pytest.mark.parametrize(("make", "given"), [(set_key, SET), (run_key, RUN)])
def test_every_ingredient_counts(make, given):
    digests = {make(**given).digest}
    for name, value in given.items():
        other = {"x": "y"} if isinstance(value, dict) else f"{value}!"
        if isinstance(value, int):
            other = None if name == "seed" else value + 1
        digests.add(make(**{**given, name: other}).digest)
    assert len(digests) == len(given) + 1


def test_the_version_is_part_of_the_key(monkeypatch):
    before = set_key(**SET), features_key(texts="t", encoder="e")
    monkeypatch.setitem(keys.VERSIONS, "set", keys.VERSIONS["set"] + 1)
    assert set_key(**SET) != before[0]
    assert features_key(texts="t", encoder="e") == before[1]


def test_a_state_is_shared_by_budgets_and_a_kind_is_no_other():
    shared = {k: v for k, v in SET.items() if k not in ("dpc", "set_index")}
    assert state_key(**shared).digest != set_key(**SET).digest
    assert Key.of("set", a=1).digest != Key.of("run", a=1).digest


@quick
@given(tables, st.randoms())
def test_canonical_json_has_no_order(table, random):
    items = list(table.items())
    random.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(table)
    assert canonical_json({"x": (1, 2)}) == canonical_json({"x": [1, 2]})


def test_canonical_json_refuses_what_equals_nothing():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"lr": float("nan")})


@quick
@given(columns, columns)
def test_texts_with_one_fingerprint_are_equal(one, other):
    same = list(one.items()) == list(other.items())
    assert (fingerprint_texts(one) == fingerprint_texts(other)) == same


def test_no_split_of_a_text_collides():
    ways = [["ab", ""], ["a", "b"], ["", "ab"], ["ab"]]
    assert len({fingerprint_texts({"t": way}) for way in ways}) == 4
    assert fingerprint_texts({"t": ["\ud800"]}) != fingerprint_texts({"t": ["?"]})


def test_dtype_and_shape_count():
    base = np.arange(4, dtype=np.int64)
    arrays = [base, base.astype(np.int32), base.reshape(2, 2), base.astype(np.float64), base[::-1]]
    assert len({fingerprint_array(array) for array in arrays}) == len(arrays)
    assert fingerprint_array(base[::-1]) == fingerprint_array(base[::-1].copy())
    assert combine("a", "b") != combine("b", "a")
    assert combine("ab") != combine("a", "b")


@quick
@given(tables, tables)
def test_changed_ingredients_names_what_differs(old, new):
    changed = {name for name in {*old, *new} if old.get(name, KeyError) != new.get(name, KeyError)}
    lines = changed_ingredients(old, new)
    assert len(lines) == len(changed)
    assert changed_ingredients(old, old) == []


def test_changed_ingredients_are_readable():
    old = set_key(**SET).ingredients
    new = set_key(**{**SET, "dpc": 20, "params": {"encoder": "mpnet"}}).ingredients
    assert changed_ingredients(old, new) == ["dpc: 10 -> 20", "params.encoder: minilm -> mpnet"]
    assert changed_ingredients({}, {"a": 1}) == ["a: (absent) -> 1"]
