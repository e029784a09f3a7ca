"""Sets made elsewhere are read with care: whatever is wrong is named by file, line and field."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.errors import InputError
from benchmark.core.score_files import read_score_directory
from benchmark.core.task import Task

quick = settings(max_examples=120, derandomize=True, deadline=None, database=None)
TASK = Task("toy", "d", ("text",), "label", ("no", "yes"))
PAIR = Task("pair", "d", ("one", "two"), "label", ("no", "yes", "maybe"))
GOOD = '{"text": "a", "label": 0}\n'
json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-3, 3),
        st.just(10**400),
        st.floats(),
        st.text(st.characters()),
        st.sampled_from(["a", "no", "yes", [0.5, 0.5], [1, 0], [0.3, 0.3]]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
rows = st.dictionaries(st.sampled_from(["text", "label", "labels", "x"]), json_values)


@pytest.fixture
def read(tmp_path):
    def read(content, task=TASK, name="set.jsonl"):
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return read_score_directory(tmp_path, task)

    return read


def as_lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("form", ["jsonl", "json", "list", "marked", "parquet"])
@pytest.mark.parametrize(
    ("field", "labels", "expected"),
    [
        ("label", [1, 0], [1, 0]),
        ("label", [1.0, 0.0], [1, 0]),
        ("labels", ["yes", "no"], [1, 0]),
        ("labels", [[0.25, 0.75], [1, 0]], [[0.25, 0.75], [1, 0]]),
    ],
)
def test_the_forms_of_a_label(form, field, labels, expected, tmp_path):
    rows = [{"text": f"row {i}", field: label, "extra": i} for i, label in enumerate(labels)]
    if form == "parquet":
        if isinstance(labels[0], list):
            rows = [{**row, field: [float(p) for p in row[field]]} for row in rows]
        pd.DataFrame(rows).to_parquet(tmp_path / "set.parquet")
    elif form == "list":
        (tmp_path / "set.json").write_text("\n" + json.dumps(rows, indent=1) + "\n")
    elif form == "marked":
        (tmp_path / "set.jsonl").write_text(as_lines(*rows), encoding="utf-8-sig")
    else:
        (tmp_path / f"set.{form}").write_text("\n" + as_lines(*rows) + "\n")
    ((name, made),) = read_score_directory(tmp_path, TASK)
    assert name == f"set.{ {'list': 'json', 'marked': 'jsonl'}.get(form, form) }"
    assert made.labels.tolist() == expected
    assert made.columns["text"] == ("row 0", "row 1")
    assert read_score_directory(tmp_path / name, TASK)[0][1].content_hash == made.content_hash


def test_one_set_a_file_sorted_by_name(tmp_path):
    for name in ("b.jsonl", "a.json", "notes.txt"):
        (tmp_path / name).write_text(as_lines({"text": name, "label": 1}))
    (tmp_path / "folder.jsonl").mkdir()
    assert [name for name, _ in read_score_directory(tmp_path, TASK)] == ["a.json", "b.jsonl"]


def test_both_columns_of_a_pair_are_needed(read):
    ((_, made),) = read(as_lines({"one": "a", "two": "b", "label": "maybe"}), PAIR)
    assert dict(made.columns) == {"one": ("a",), "two": ("b",)}
    with pytest.raises(InputError, match=r"line 1: the field 'two' is missing. Did you mean 'to'"):
        read(as_lines({"one": "a", "to": "b", "label": "maybe"}), PAIR)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"label": 1}, "the field 'text' is missing"),
        ({"text": "a"}, "the field 'label' is missing"),
        ({"text": " ", "label": 1}, "field 'text': ' ' is no text or a blank one"),
        ({"text": 5, "label": 1}, "field 'text': 5 is no text"),
        ({"text": "\ud800", "label": 1}, "not valid JSON"),
        ({"text": "a", "label": 2}, "field 'label': class index 2 is not in 0 to 1"),
        ({"text": "a", "label": -1}, "field 'label': class index -1 is not in 0 to 1"),
        ({"text": "a", "label": 10**400}, "field 'label': class index 1000"),
        ({"text": "a", "label": 0.5}, "field 'label': class index 0.5 is no whole number"),
        ({"text": ["a"] * 99, "label": 1}, "'a', '... is no text"),
        ({"text": "a", "label": float("nan")}, "field 'label': class index nan"),
        ({"text": "a", "label": True}, "field 'label': True is no class index"),
        ({"text": "a", "label": None}, "field 'label': None is no class index"),
        ({"text": "a", "labels": "yess"}, "field 'labels': unknown class 'yess'. Did you mean"),
        ({"text": "a", "label": [1]}, "field 'label': 1 probabilities for 2 classes"),
        ({"text": "a", "label": [1.5, -0.5]}, "field 'label': probabilities are numbers from 0"),
        ({"text": "a", "label": [10**400, 0]}, "field 'label': probabilities are numbers from 0"),
        ({"text": "a", "label": ["x", 0]}, "field 'label': probabilities are numbers from 0"),
        ({"text": "a", "label": [0.3, 0.3]}, "field 'label': the probabilities sum to 0.6"),
        ({"text": "a", "label": [0.5, 0.5]}, "field 'label': hard and soft labels are mixed"),
        ([1, 2], "a JSON object is needed, one a line"),
    ],
)
def test_a_wrong_row_is_named(read, tmp_path, row, message):
    with pytest.raises(InputError) as caught:
        read(GOOD + "\n" + as_lines(row))
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'set.jsonl'}, line 3")
    assert message in said


def test_a_wrong_row_of_a_list_is_named(read, tmp_path):
    rows = [{"text": "a", "label": 0}, {"text": "b", "label": 2}]
    with pytest.raises(InputError, match=r"set.json, row 2, field 'label': class index 2"):
        read(json.dumps(rows), name="set.json")
    with pytest.raises(InputError, match=r"set.json, row 1: a JSON object is needed"):
        read("[[1], 2]", name="set.json")
    with pytest.raises(InputError, match=r"set.json: no row in it"):
        read("[]", name="set.json")


def test_a_wrong_parquet_row_is_named(tmp_path):
    table = pd.DataFrame({"text": ["a", "b", None], "label": [0, 1, 1]})
    table.to_parquet(tmp_path / "set.parquet")
    with pytest.raises(InputError, match=r"set.parquet, row 3, field 'text'"):
        read_score_directory(tmp_path, TASK)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("set.jsonl", "", "set.jsonl: no row in it"),
        ("set.jsonl", b"\xff\xfe", "set.jsonl: cannot be read as UTF-8"),
        ("set.json", GOOD + "{", "set.json, line 2: not valid JSON"),
        ("set.json", "[" * 100_000, "set.json, line 1: not valid JSON"),
        ("set.json", '{"text": "a", "label": ' + "9" * 5000 + "}", "line 1: not valid JSON"),
        ("set.parquet", "PAR1", "set.parquet: not a readable Parquet file"),
        ("set.csv", "text,label", "no set in it"),
    ],
)
def test_a_wrong_file_is_named(read, name, content, message):
    with pytest.raises(InputError) as caught:
        read(content, name=name)
    assert message in str(caught.value)


def test_a_wrong_place_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file or directory"):
        read_score_directory(tmp_path / "nowhere", TASK)
    (tmp_path / "set.pkl").write_bytes(b"x")
    with pytest.raises(InputError, match=r"set.pkl: not one of .jsonl"):
        read_score_directory(tmp_path / "set.pkl", TASK)
    with pytest.raises(InputError, match=r"no set in it; one .jsonl"):
        read_score_directory(tmp_path, TASK)


@pytest.fixture(scope="module")
def parquet_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet") / "set.parquet"
    pd.DataFrame({"text": ["a", "b"], "label": [0, 1]}).to_parquet(path)
    return path.read_bytes()


def read_or_refuse(path):
    """Whatever is in the file, it is a sound set or an error that names it."""
    try:
        ((_, made),) = read_score_directory(path, TASK)
    except InputError as error:
        said = str(error)
    else:
        assert made.size()["rows"] == len(made) > 0
        assert np.isfinite(made.labels).all()
        return
    assert str(path) in said
    said.encode()  # can be printed


@quick
@given(st.one_of(st.binary(), st.text().map(str.encode)), st.sampled_from(["jsonl", "json"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content, form):
    path = tmp_path_factory.getbasetemp() / f"bytes.{form}"
    path.write_bytes(content)
    read_or_refuse(path)


@quick
@given(st.lists(st.one_of(rows, json_values), max_size=3))
def test_any_json_is_read_or_refused(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "values.jsonl"
    path.write_text(as_lines(*values))
    read_or_refuse(path)


@quick
@given(data=st.data())
def test_any_parquet_bytes_are_read_or_refused(tmp_path_factory, parquet_bytes, data):
    path = tmp_path_factory.getbasetemp() / "bytes.parquet"
    at = data.draw(st.integers(0, len(parquet_bytes) - 1))
    flip = data.draw(st.integers(1, 255))
    end = data.draw(st.sampled_from([len(parquet_bytes), at]))
    damaged = bytearray(parquet_bytes)
    damaged[at] ^= flip
    path.write_bytes(bytes(damaged[:end]))
    read_or_refuse(path)


columns = st.sampled_from(
    [
        ["a", "b"],
        ["a", None],
        [b"a", b"b"],
        [0, 1],
        [0.0, float("nan")],
        [True, False],
        [[0.5, 0.5], [1.0, 0.0]],
        [["x"], None],
        [[[0.5], [0.5]], [[1.0], [0.0]]],
        [{"a": 1}, {"a": 2}],
        pd.to_datetime(["2020-01-01", "2020-01-02"]),
        pd.Categorical(["no", "yes"]),
        pd.array([0, None], dtype="Int64"),
        pd.to_timedelta([1, 2]),
    ]
)


@quick
@given(columns, columns)
def test_any_parquet_table_is_read_or_refused(tmp_path_factory, texts, labels):
    path = tmp_path_factory.getbasetemp() / "table.parquet"
    pd.DataFrame({"text": texts, "label": labels}).to_parquet(path)
    read_or_refuse(path)
