"""A pool is read-only, cut by index, and has no way to the test split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.assets import Assets
from benchmark.core.data import load_task
from benchmark.core.errors import InputError
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from benchmark.core.task import Task

quick = settings(max_examples=40, derandomize=True, deadline=None, database=None)


def make_pool(labels, embed=True, columns=1):
    labels = np.asarray(labels, dtype=np.int64)
    texts = {f"t{c}": [f"row {i} column {c}" for i in range(len(labels))] for c in range(columns)}
    features = np.arange(len(labels), dtype=np.float32)[:, None] * [1, 10]
    give = (lambda encoder: features) if embed else None
    return Pool("toy", texts, labels, ["no", "yes", "maybe"], embed=give)


labelled = st.lists(st.integers(0, 2), min_size=3, max_size=40).map(
    lambda labels: make_pool([0, 1, 2, *labels])
)
fractions = st.floats(0.05, 0.95)
seeds = st.integers(0, 1000)


def reachable(value, seen):
    """Every object that attributes, items and closures lead to."""
    if id(value) in seen or isinstance(value, int | float | bytes | type(None)):
        return
    seen[id(value)] = value
    if isinstance(value, dict):
        children = [*value, *value.values()]
    elif isinstance(value, list | tuple | set):
        children = list(value)
    else:
        children = list(getattr(value, "__dict__", {}).values())
        children += [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
    for child in children:
        reachable(child, seen)


def test_there_is_no_way_to_the_test_split(write_assets):
    train = {"text": ["seen one", "seen two"], "label": [0, 1]}
    test = {"text": ["SECRET one", "SECRET two"], "label": [1, 0]}
    assets = Assets(write_assets({"r/default/train": train, "r/default/test": test}))
    task = Task("t", "r", ("text",), "label", ("no", "yes"))
    data = load_task(task, assets, lambda encoder, pool: np.zeros((len(pool), 2)))
    seen = {}
    reachable(data.pool, seen)
    reachable(data.pool.of_class(0), seen)
    texts = [value for value in seen.values() if isinstance(value, str)]
    assert "seen one" in texts
    assert not [text for text in texts if "SECRET" in text]
    everything = {}
    reachable(data, everything)  # the search does find it where it is
    assert [value for value in everything.values() if isinstance(value, str) and "SECRET" in value]


def test_what_a_pool_says_of_itself():
    pool = make_pool([0, 1, 1], columns=2)
    assert len(pool) == 3
    assert pool.is_pair
    assert pool.text_columns == ("t0", "t1")
    assert pool.class_counts().tolist() == [1, 2, 0]
    assert repr(pool) == "Pool('toy', 3 rows, 3 classes)"
    assert pool.texts([2, 0])["t1"] == ["row 2 column 1", "row 0 column 1"]


@quick
@given(labelled, seeds)
def test_subsets_follow_their_rows(pool, seed):
    rng = numpy_generator(seed)
    rows = rng.integers(len(pool), size=rng.integers(1, 2 * len(pool)))
    part = pool.subset(rows)
    again = rng.permutation(len(part))
    assert part.subset(again).indices.tolist() == rows[again].tolist()
    assert part.labels.tolist() == pool.labels[rows].tolist()
    assert part.texts() == pool.texts(rows)
    assert part.embed("e").tolist() == pool.embed("e")[rows].tolist()
    assert part.subset(again).texts_fingerprint == pool.subset(rows[again]).texts_fingerprint


def test_a_permutation_of_all_rows_permutes_the_features():
    pool = make_pool([0, 1, 2, 0])
    turned = pool.subset([3, 2, 1, 0])
    assert turned.embed("e")[:, 0].tolist() == [3, 2, 1, 0]
    assert turned.fingerprint != pool.fingerprint
    assert turned.subset([3, 2, 1, 0]).fingerprint == pool.fingerprint
    assert turned.subset([3, 2, 1, 0]).embed("e") is pool.embed("e")


def test_a_mask_means_the_rows_where_it_is_true():
    pool = make_pool([0, 1, 2, 1])
    mask = pool.labels == 1
    assert pool.subset(mask).indices.tolist() == [1, 3]
    assert pool.texts(mask) == pool.texts([1, 3])


@quick
@given(labelled, fractions, seeds)
def test_a_resample_is_stratified_without_replacement_in_row_order(pool, fraction, seed):
    part = pool.resample(fraction, numpy_generator(seed))
    for have, got in zip(pool.class_counts(), part.class_counts(), strict=True):
        assert got == max(1, round(fraction * have))
    assert (np.diff(part.indices) > 0).all()
    assert pool.resample(fraction, numpy_generator(seed)).fingerprint == part.fingerprint


@quick
@given(labelled, fractions, seeds)
def test_a_split_is_disjoint_and_whole(pool, fraction, seed):
    rest, chosen = pool.split(fraction, numpy_generator(seed))
    both = [*rest.indices, *chosen.indices]
    assert sorted(both) == list(range(len(pool)))
    inner_rest, inner = chosen.split(0.5, numpy_generator(seed))
    assert sorted([*inner_rest.indices, *inner.indices]) == chosen.indices.tolist()


@quick
@given(labelled, st.integers(0, 2))
def test_of_class(pool, label):
    part = pool.of_class(label)
    assert set(part.labels.tolist()) == {label}
    assert len(part) == pool.class_counts()[label]
    assert pool.subset(part.indices).fingerprint == part.fingerprint


def test_the_fingerprint_stands_for_the_examples_in_their_order():
    pool = make_pool([0, 1, 2])
    assert pool.fingerprint == make_pool([0, 1, 2], embed=False).fingerprint
    assert pool.fingerprint == pool.subset([0, 1, 2]).fingerprint == pool.root_fingerprint
    different = [make_pool([0, 1, 1]), make_pool([0, 1]), pool.subset([0, 1]), pool.subset([1, 0])]
    different += [pool.subset([0, 0, 1]), make_pool([0, 1, 2], columns=2)]
    assert len({pool.fingerprint, *(other.fingerprint for other in different)}) == 7
    assert pool.subset([0, 1]).root_fingerprint == pool.fingerprint
    renamed = Pool("toy", pool.texts(), pool.labels, ["no", "yes", "perhaps"])
    assert renamed.fingerprint != pool.fingerprint
    assert Pool("else", pool.texts(), pool.labels, pool.classes).fingerprint == pool.fingerprint


def test_a_pool_is_read_only():
    pool = make_pool([0, 1, 2])
    for part in (pool, pool.subset([2, 0])):
        for array in (part.labels, part.indices):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
        part.texts()["t0"][0] = "changed"
        assert "changed" not in part.texts()["t0"]
    features = pool.subset([1, 2]).embed("e")
    features[:] = 7
    assert pool.subset([1, 2]).embed("e")[0, 0] == 1


def test_a_pool_without_encoders_says_so():
    with pytest.raises(InputError, match="'toy' was made without encoders"):
        make_pool([0, 1], embed=False).subset([0]).embed("minilm")
