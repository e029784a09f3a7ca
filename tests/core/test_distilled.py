"""A distilled set is immutable, content-hashed, and no damage to its files goes unseen."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import DamagedFileError, InputError

quick = settings(max_examples=40, derandomize=True, deadline=None, database=None)
CLASSES = ("no", "yes")
some_text = st.text(min_size=1, max_size=8).filter(str.strip)


def hard(**changed):
    given = {"columns": {"text": ["a\nb", "ünï\u2028 \ud800"]}, "labels": [1, 0], "rows": [12, 5]}
    given.update(changed)
    return DistilledSet.of_texts(classes=CLASSES, **given)


def soft():
    return DistilledSet.of_texts(
        {"one": ["a", "b"], "two": ["c", "d"]},
        np.array([[0.25, 0.75], [1, 0]]),
        CLASSES,
        recipe={"learning_rates": [0.5, 0.1], "order": "fixed"},
    )


def embedded():
    arrays = {
        "embeddings": np.arange(8, dtype=np.float32).reshape(2, 2, 2),
        "rates": np.array([0.5], dtype=np.float64),
    }
    return DistilledSet(CLASSES, np.array([[0.5, 0.5], [0, 1]]), arrays=arrays, recipe={"steps": 3})


MAKERS = (hard, soft, embedded)


def state(made):
    """Everything that a set is, as plain data."""
    return (
        made.classes,
        made.labels.tolist(),
        str(made.labels.dtype),
        None if made.columns is None else {k: tuple(v) for k, v in made.columns.items()},
        {name: (str(a.dtype), a.tolist()) for name, a in made.arrays.items()},
        None if made.recipe is None else dict(made.recipe),
        made.rows,
    )


@pytest.mark.parametrize("make", MAKERS)
def test_saved_and_loaded(make, tmp_path):
    made = make()
    made.save(tmp_path / "set")
    loaded = DistilledSet.load(tmp_path / "set", made.content_hash)
    assert state(loaded) == state(made)
    assert loaded.content_hash == made.content_hash
    assert (loaded.level, loaded.is_soft, len(loaded)) == (made.level, made.is_soft, 2)
    made.save(tmp_path / "set")  # over itself
    assert state(DistilledSet.load(tmp_path / "set")) == state(made)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    with pytest.raises(DamagedFileError, match="does not match"):
        DistilledSet.load(tmp_path / "set", "0" * 40)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("flip", [1, 32, 255])
def test_no_flipped_byte_goes_unseen(make, flip, tmp_path):
    made = make()
    made.save(tmp_path)
    expected = state(made)
    seen = 0
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            try:
                loaded = DistilledSet.load(tmp_path)
            except DamagedFileError:
                seen += 1
            else:
                assert state(loaded) == expected, (path.name, at)
        path.write_bytes(whole)
    assert seen > 100
    assert state(DistilledSet.load(tmp_path)) == expected


@pytest.mark.parametrize("make", MAKERS)
def test_a_cut_or_absent_file_is_damage(make, tmp_path):
    made = make()
    made.save(tmp_path)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        for content in (b"", whole[: len(whole) // 2], whole + b"\n{}\n"):
            path.write_bytes(content)
            with pytest.raises(DamagedFileError):
                DistilledSet.load(tmp_path)
        path.unlink()
        with pytest.raises(DamagedFileError):
            DistilledSet.load(tmp_path)
        path.write_bytes(whole)


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_is_pickled(make, tmp_path, monkeypatch):
    import pickle

    def refuse(*args, **kwargs):
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    make().save(tmp_path)
    DistilledSet.load(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {
        "set.json",
        "rows.jsonl",
        "arrays.safetensors",
    }
    json.loads((tmp_path / "set.json").read_text())


@quick
@given(st.lists(st.tuples(some_text, some_text, st.integers(0, 1)), min_size=1, max_size=5))
def test_any_text_survives(tmp_path_factory, rows):
    one, two, labels = zip(*rows, strict=True)
    made = DistilledSet.of_texts({"one": one, "two": two}, labels, CLASSES)
    folder = tmp_path_factory.mktemp("sets") / "set"
    made.save(folder)
    assert state(DistilledSet.load(folder)) == state(made)
    assert made.size()["rows"] == len(rows)


def test_where_rows_came_from_is_no_part_of_the_hash():
    base = hard()
    assert base.content_hash == hard(rows=None).content_hash == hard(rows=[1, 2]).content_hash
    others = [
        hard(labels=[1, 1]),
        hard(columns={"text": ["a", "b"]}),
        hard(columns={"words": ["a\nb", "ünï\u2028 \ud800"]}),
        hard(recipe={"steps": 1}),
        hard(labels=[[0, 1], [1, 0]]),
        DistilledSet.of_texts(base.columns, base.labels, ("no", "aye")),
    ]
    assert len({base.content_hash, *(other.content_hash for other in others)}) == 7


@pytest.mark.parametrize("make", MAKERS)
def test_a_set_is_immutable(make):
    made = make()
    before = made.content_hash
    with pytest.raises(AttributeError):
        made.labels = np.zeros(2)
    for array in (made.labels, *made.arrays.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    for mapping in (made.columns, made.arrays, made.recipe):
        if mapping is not None:
            with pytest.raises(TypeError):
                mapping["text"] = ()
    assert make().content_hash == before


def test_a_set_shares_nothing_with_its_maker():
    labels, texts, array = np.array([0, 1]), ["a", "b"], np.ones((2, 1), dtype=np.float32)
    recipe = {"rates": [1, 2]}
    text = DistilledSet.of_texts({"text": texts}, labels, CLASSES, recipe=recipe)
    other = DistilledSet(CLASSES, labels, arrays={"x": array})
    labels[0], texts[0], array[0] = 1, "changed", 7
    recipe["rates"].append(3)
    assert state(text)[1:4] == ([0, 1], "int64", {"text": ("a", "b")})
    assert dict(text.recipe) == {"rates": [1, 2]}
    assert other.arrays["x"].tolist() == [[1], [1]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": [0, 2]}, "label 2 is outside the 2 classes"),
        ({"labels": [-1, 0]}, "label -1 is outside"),
        ({"labels": [0.5, 1]}, "whole numbers"),
        ({"labels": [0]}, "2 texts, 1 labels"),
        ({"labels": [[0.5, 0.4], [1, 0]]}, "row 0 sum to 0.9"),
        ({"labels": [[0.5, 0.5], [1.5, -0.5]]}, "row 1 .* negative"),
        ({"labels": [[1.0], [1.0]]}, "1 columns for 2 classes"),
        ({"labels": [[np.nan, 1], [1, 0]]}, "row 0"),
        ({"labels": [[[1]]]}, "3 dimensions"),
        ({"labels": [], "columns": {"text": []}}, "no rows"),
        ({"columns": {"text": ["a", " \n"]}}, "row 1: the text is empty"),
    ],
)
def test_what_no_set_may_be(changed, message):
    with pytest.raises(InputError, match=message):
        hard(**changed)


def test_soft_labels_of_a_native_recipe_may_be_anything():
    free = DistilledSet.of_texts(
        {"text": ["a"]}, [[3.0, -1.0]], CLASSES, recipe={"label_type": "unrestricted"}
    )
    assert free.hard_labels.tolist() == [0]
    with pytest.raises(InputError, match="reserved"):
        DistilledSet(CLASSES, np.array([[1, 0]]), arrays={"labels": np.zeros(1)})


def test_size():
    assert hard(columns={"text": ["one two", "ü"]}).size() == {
        "rows": 2,
        "words": 3,
        "bytes": 9,
        "floats": 0,
    }
    assert embedded().size() == {"rows": 2, "words": 0, "bytes": 40, "floats": 9}
