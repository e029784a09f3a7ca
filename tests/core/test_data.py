"""From a table to a pool and a test split: what is dropped, counted, carved and refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.core.assets import Assets
from benchmark.core.data import load_task
from benchmark.core.errors import InputError
from benchmark.core.task import Carve, Task

quick = settings(max_examples=40, derandomize=True, deadline=None, database=None)
TRAIN = {"text": ["t0", "t1", "t2", "t3"], "label": [0, 1, 0, 1]}
TEST = {"text": ["x0", "", " \n"], "label": [1, 0, 1]}


class Tables(Assets):
    """Assets from data frames in memory."""

    def table(self, dataset, config, split, revision, sha256=None):
        return TABLES[split]


TABLES = {}


def load(train=None, test=None, **changed):
    TABLES.update(
        train=pd.DataFrame(TRAIN if train is None else train),
        test=pd.DataFrame(TEST if test is None else test),
    )
    spec = {"text": ("text",), "label": "label", "classes": ("no", "yes"), **changed}
    return load_task(Task("toy", "d", **spec), Tables())


def test_read():
    data = load()
    assert data.pool.texts() == {"text": TRAIN["text"]}
    assert data.pool.labels.tolist() == TRAIN["label"]
    assert data.pool.dropped == 0
    assert data.test.columns == {"text": TEST["text"]}  # blank rows stay
    assert data.test.labels.tolist() == TEST["label"]


def test_blank_pool_rows_are_dropped_and_counted():
    texts = ["a", "", " \t\n\u00a0", None, "b", float("nan")]
    data = load({"text": texts, "label": [0, 1, 1, 1, 1, 0]})
    assert data.pool.texts() == {"text": ["a", "b"]}
    assert data.pool.labels.tolist() == [0, 1]
    assert data.pool.dropped == 4


def test_a_missing_text_is_a_blank_one_in_every_type_of_column():
    for dtype in ("object", "str", "string"):
        column = pd.array(["a", None, "b"], dtype=dtype)
        data = load({"text": column, "label": [0, 1, 1]}, {"text": column, "label": [0, 1, 1]})
        assert data.pool.texts() == {"text": ["a", "b"]}
        assert data.test.columns == {"text": ["a", "", "b"]}


def test_a_pair_with_one_blank_text_is_blank():
    pair = {"one": ["a", "", "c", "d"], "two": ["a", "b", " ", "d"], "label": [0, 0, 1, 1]}
    data = load(pair, pair, text=("one", "two"))
    assert data.pool.texts() == {"one": ["a", "d"], "two": ["a", "d"]}
    assert len(data.test.labels) == 4


def test_labels_may_be_names_of_classes():
    data = load({"text": ["a", "b"], "label": ["yes", "no"]})
    assert data.pool.labels.tolist() == [1, 0]
    assert load({"text": ["a", "b"], "label": [1.0, 0.0]}).pool.labels.tolist() == [1, 0]
    assert load({"text": ["a", "b"], "label": [True, False]}).pool.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    "label", [2, -1, 0.5, float("nan"), float("inf"), None, "maybe", "1", b"no", (0,)]
)
def test_an_unknown_label_is_named_with_its_row(label):
    table = {"text": ["a", "b", "c"], "label": pd.Series([0, 1, label], dtype=object)}
    message = r"task 'toy', split 'train', row 2, column 'label': label .* none of the 2 classes"
    with pytest.raises(InputError, match=message):
        load(table)
    with pytest.raises(InputError, match="split 'test', row 2"):
        load(None, table)


def test_a_missing_label_of_any_type_is_none_of_the_classes():
    with pytest.raises(InputError, match="row 1, column 'label'"):
        load({"text": ["a", "b"], "label": pd.array([0, None], dtype="Int64")})


def test_the_threshold_parts_a_number_in_two():
    table = {"text": list("abcd"), "label": [0.0, 0.49, 0.5, 3]}
    data = load(table, table, threshold=0.5)
    assert data.pool.labels.tolist() == [0, 0, 1, 1]
    for bad in (float("nan"), None, "0.7"):
        broken = {"text": list("ab"), "label": pd.Series([0.9, bad], dtype=object)}
        with pytest.raises(InputError, match="row 1, column 'label'"):
            load(broken, threshold=0.5)


def test_where_keeps_rows_and_errors_count_as_the_file_does():
    table = {"text": list("abcd"), "label": [0, 1, 1, 7], "lang": ["en", "de", "en", "de"]}
    data = load(table, table, where={"lang": "en"})
    assert data.pool.texts() == {"text": ["a", "c"]}
    assert data.test.columns == {"text": ["a", "c"]}
    with pytest.raises(InputError, match="row 3, column 'label'"):
        load(table, table, where={"lang": "de"})
    with pytest.raises(InputError, match=r"no row in it where {'lang': 'fr'}"):
        load(table, table, where={"lang": "fr"})
    with pytest.raises(InputError, match=r"no column 'lng'. Did you mean 'lang'"):
        load(table, table, where={"lng": "en"})


def test_what_is_wrong_is_named():
    with pytest.raises(InputError, match="split 'train': no column 'sentence'"):
        load(text=("sentence",))
    with pytest.raises(InputError, match=r"no column 'lable'. Did you mean 'label'"):
        load(label="lable")
    with pytest.raises(InputError, match="row 1, column 'text': 5 is no text"):
        load({"text": pd.Series(["a", 5], dtype=object), "label": [0, 1]})
    with pytest.raises(InputError, match="split 'test': no row in it"):
        load(test={"text": [], "label": []})


def test_a_class_without_a_row_is_an_error():
    with pytest.raises(InputError, match="no training example of class 'yes', 'maybe'"):
        load({"text": ["a", ""], "label": [0, 1]}, classes=("no", "yes", "maybe"))
    load(test={"text": ["a"], "label": [0]})  # the test split may lack one


def test_row_counts_are_asserted_before_anything_is_dropped():
    load({"text": ["a", "b", ""], "label": [0, 1, 1]}, rows={"train": 3, "test": 3})
    with pytest.raises(InputError, match="split 'train': 4 rows, the catalogue says 1,234"):
        load(rows={"train": 1234})
    with pytest.raises(InputError, match="split 'test': 3 rows, the catalogue says 2"):
        load(rows={"test": 2})


def carved(labels, dev=0.1, test=0.2, **changed):
    table = {"text": [f"row {i}" for i in range(len(labels))], "label": labels}
    return load(table, carve=Carve(dev, test, **changed))


@quick
@given(
    st.lists(st.integers(0, 1), min_size=20, max_size=60),
    st.floats(0, 0.3),
    st.floats(0.1, 0.3),
    st.integers(0, 9),
)
def test_a_carve_is_stratified_and_disjoint_and_the_same_each_time(labels, dev, test, seed):
    labels = [0] * 10 + [1] * 10 + labels
    data = carved(labels, dev, test, seed=seed)
    train, held = data.pool.texts()["text"], data.test.columns["text"]
    assert not set(train) & set(held)
    assert [labels[int(text.split()[1])] for text in held] == data.test.labels.tolist()
    assert [labels[int(text.split()[1])] for text in train] == data.pool.labels.tolist()
    for label in (0, 1):
        n = labels.count(label)
        assert (data.test.labels == label).sum() == round(test * n)
        assert (data.pool.labels == label).sum() == n - round(test * n) - round(dev * n)
    again = carved(labels, dev, test, seed=seed)
    assert again.test.fingerprint == data.test.fingerprint
    assert again.pool.fingerprint == data.pool.fingerprint


def test_everyone_gets_the_same_carved_rows():
    held = carved([0, 1] * 10).test.columns["text"]
    assert held == ["row 9", "row 10", "row 13", "row 16"]
    assert carved([0, 1] * 10, seed=1).test.columns["text"] != held


def test_the_carved_test_split_keeps_its_blank_rows():
    table = {"text": ["", "a", "b"] * 14, "label": [0, 1] * 21}
    data = load(table, carve=Carve(0, 0.5))
    blank = data.test.columns["text"].count("")
    assert len(data.test.labels) + len(data.pool) + data.pool.dropped == 42
    assert (blank > 0, blank + data.pool.dropped) == (True, 14)


def test_fingerprints_of_the_test_split():
    first = load()
    assert load().test.fingerprint == first.test.fingerprint
    relabelled = load(test={**TEST, "label": [0, 0, 1]})
    assert relabelled.test.fingerprint != first.test.fingerprint
    assert relabelled.test.texts_fingerprint == first.test.texts_fingerprint
    assert load(classes=("no", "aye")).test.fingerprint != first.test.fingerprint


def test_embedding_is_asked_for_the_whole_pool():
    TABLES.update(train=pd.DataFrame(TRAIN), test=pd.DataFrame(TEST))
    asked = []

    def embed(encoder, pool):
        asked.append((encoder, pool))
        return np.arange(4.0)[:, None]

    data = load_task(Task("toy", "d", ("text",), "label", ("no", "yes")), Tables(), embed)
    assert data.pool.of_class(1).embed("minilm").ravel().tolist() == [1, 3]
    assert asked == [("minilm", data.pool)]


def test_groups_are_numbered_alike_in_pool_and_test_and_follow_their_rows():
    train = {**TRAIN, "text": ["t0", "", "t2", "t3"], "who": ["b", "c", "a", "b"]}
    data = load(train, {**TEST, "who": ["d", "a", "b"]}, group="who")
    assert data.pool.group_names == ("a", "b", "d")  # the blank row took its group along
    assert data.pool.groups.tolist() == [1, 0, 1]
    assert data.test.groups.tolist() == [2, 0, 1]
    assert data.pool.subset([2, 1]).groups.tolist() == [1, 0]
    plain = load(train, TEST)
    assert plain.pool.groups is None
    assert plain.test.groups is None
    assert plain.pool.fingerprint == data.pool.fingerprint  # sets of methods that read no groups
    assert plain.pool.groups_fingerprint != data.pool.groups_fingerprint


@pytest.mark.parametrize("value", [None, float("nan"), "", " "])
def test_a_row_without_a_group_is_named(value):
    train = {**TRAIN, "who": ["a", "b", value, value]}
    with pytest.raises(InputError, match=r"split 'train', row 2, column 'who': no group, in 2 of"):
        load(train, {**TEST, "who": ["a", "b", "a"]}, group="who")


def test_a_group_column_that_is_not_there():
    with pytest.raises(InputError, match="no column 'whom'"):
        load({**TRAIN, "who": list("abab")}, {**TEST, "who": list("aba")}, group="whom")


def test_carved_rows_keep_their_groups():
    train = {"text": [f"t{i}" for i in range(20)], "label": [0, 1] * 10, "who": list("abcd") * 5}
    data = load(train, carve=Carve(0.2, 0.4), group="who")
    for texts, groups in (
        (data.pool.texts()["text"], data.pool.groups),
        (data.test.columns["text"], data.test.groups),
    ):
        assert groups.tolist() == [int(text[1:]) % 4 for text in texts]
