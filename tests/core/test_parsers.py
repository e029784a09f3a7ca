"""Whatever a file holds, reading it gives what it says or one message: never a traceback."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmark.cli.options import gather
from benchmark.core import manifests
from benchmark.core.catalogue import Catalogue
from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import DamagedFileError, InputError
from benchmark.core.journal import Journal
from benchmark.core.learner import LEARNERS
from benchmark.core.library import register_catalogue_learners
from benchmark.core.score_files import read_score_directory
from benchmark.core.task import Task

quickly = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TASK = Task(name="mood", dataset="toy/mood", text=("text",), label="label", classes=("bad", "good"))
PAIR = Task(
    name="pair", dataset="toy/pair", text=("first", "second"), label="label",
    classes=("no", "yes", "0"),
)  # fmt: skip
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["good", "bad", "yes", " ", "\ud800", "0.5"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
fields = st.sampled_from(["text", "label", "labels", "first", "second", "txt", ""])
rows = st.dictionaries(fields, values, max_size=4)
good = st.fixed_dictionaries({"text": st.just("fine"), "label": values})
lines = st.one_of(
    rows.map(json.dumps), good.map(json.dumps), st.text(max_size=20), values.map(json.dumps)
)


@quickly
@given(st.lists(lines, max_size=4), st.sampled_from([TASK, PAIR]), st.sampled_from(["", "\r"]))
@example(["[" * 5_000], TASK, "")
@example(['{"text": "a", "label": ' + "9" * 5000 + "}"], TASK, "")
@example(['{"text": "a", "label": 1e999}'], TASK, "")
@example(['{"text": "a", "label": [NaN, 1]}'], TASK, "")
@example(['{"text": "\\ud800", "label": 1}'], TASK, "")
@example(['{"text": "a\\u0000b", "label": [0.5, 0.5]}'], TASK, "")
def test_json_lines_are_a_set_or_an_input_error(tmp_path, texts, task, end) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(f"{end}\n".join(texts).encode("utf-8", "surrogatepass"))
    read_a_set(path, task)


@quickly
@given(st.binary(max_size=200), st.sampled_from([".jsonl", ".json", ".parquet"]))
def test_any_bytes_are_a_set_or_an_input_error(tmp_path, content, suffix) -> None:
    path = tmp_path / f"set{suffix}"
    path.write_bytes(content)
    read_a_set(path, TASK)


@quickly
@given(st.lists(st.fixed_dictionaries({"text": scalars, "label": scalars}), max_size=3))
@example([{"text": "a", "label": [0.5, 0.5]}, {"text": "b", "label": None}])
def test_parquet_of_any_types_is_a_set_or_an_input_error(tmp_path, table) -> None:
    path = tmp_path / "set.parquet"
    try:
        pd.DataFrame(table).to_parquet(path)
    except Exception:  # what Arrow cannot write, nobody can hand in; its errors have no base
        return
    read_a_set(path, TASK)


def read_a_set(path: Path, task: Task) -> None:
    try:
        ((name, distilled),) = read_score_directory(path, task)
    except InputError as said:
        assert str(path) in str(said)  # noqa: PT017 - either outcome is right
        return
    assert name == path.name
    assert len(distilled) >= 1
    assert distilled.classes == task.classes
    folder = path.with_suffix("")
    distilled.save(folder)
    assert DistilledSet.load(folder).content_hash == distilled.content_hash


toml_text = st.text(st.characters(codec="utf-8"), max_size=8)
toml_scalars = (
    st.booleans() | st.integers(-5, 2**62) | st.floats() | toml_text
    | st.datetimes() | st.dates() | st.times()
)  # fmt: skip
toml_values = st.recursive(
    toml_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(toml_text, inner, max_size=3),
    max_leaves=6,
)
KINDS = ["task", "suite", "protocol", "model", "encoder", "learner", "tusk"]
KEYS = [
    "dataset", "text", "label", "classes", "metric", "where", "carve", "rows", "tasks", "methods",
    "learners", "dpc", "cells", "sets", "seeds", "resample", "hub", "package", "files", "parts",
    "model", "pooling", "max_length", "dtype", "kind", "steps", "name", "endpoint", "dimension",
    "normalise", "prefix", "encoder", "protocol", "threshold", "weights",
]  # fmt: skip
sensible = st.sampled_from(
    ["accuracy", "mood", ["a", "b"], ["mood"], 3, 0.5, "transformer", "probe", "minilm", [5, 10],
     {"dev": 0.1, "test": 0.1}, "mean", "float32", True, ["random"], "sst2", {"train": 10}]
)  # fmt: skip
tables = st.dictionaries(
    st.sampled_from(KINDS),
    st.dictionaries(
        st.sampled_from(["mood", "a-b", "A", "", "sst2", "x.y"]),
        st.dictionaries(st.sampled_from(KEYS), sensible | toml_values, max_size=9) | toml_values,
        max_size=2,
    )
    | toml_values,
    max_size=3,
)


def as_toml(value: object) -> str:
    """Write a value as TOML, with inline tables."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value).replace("\\ud8", "\\u00").replace("\x7f", "")
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, dict):
        pairs = (f"{as_toml(str(key))} = {as_toml(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


def written(tables: dict) -> str:
    return "\n".join(f"{kind} = {as_toml(table)}" for kind, table in tables.items())


@quickly
@given(tables.map(written) | st.text(max_size=60))
@example("a = " + "[" * 5_000)
@example("[task.a]\nrows = {train = 1e999}")
@example("[learner.a]\nkind = 'transformer'\nmodel = 'minilm'\nsteps = 1979-05-27")
def test_a_file_of_tasks_is_read_or_an_input_error(tmp_path, text) -> None:
    path = tmp_path / "tasks.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    LEARNERS.names()
    entries = dict(LEARNERS._entries)
    try:
        register_catalogue_learners(Catalogue.load([path]))
    except InputError as said:
        assert "tasks.toml" in str(said)  # noqa: PT017 - either outcome is right
    finally:
        LEARNERS._entries = entries


FLAGS = ["methods", "learners", "tasks-only", "dpc", "ratio", "protocol", "sets", "seeds", "set"]


@quickly
@given(st.dictionaries(st.sampled_from([*FLAGS, "sests"]), toml_values).map(written))
@example("[set]\n'a' = 1")
@example("set = {a.b.c = [1]}")
@example("dpc = [true]")
@example("ratio = [inf]")
def test_a_file_of_flags_is_read_or_an_input_error(tmp_path, text) -> None:
    path = tmp_path / "flags.toml"
    path.write_text(text)
    with contextlib.suppress(InputError):
        gather({"suite": "toy", "config": path})


@quickly
@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 5_000)
@example(b'{"a.parquet": {"sha256": 5}}')
@example(b'{"a.parquet": []}')
def test_any_manifest_vouches_for_nothing_or_is_an_input_error(tmp_path, content) -> None:
    (tmp_path / "a.parquet").write_bytes(b"data")
    (tmp_path / "manifest.json").write_bytes(content)
    manifests._read.cache_clear()
    with pytest.raises(InputError, match="manifest"):
        manifests.check_manifest(tmp_path, "a.parquet")


@quickly
@given(st.data())
def test_any_changed_byte_of_a_set_is_noticed(tmp_path, data) -> None:
    labels = np.array([[0.25, 0.75], [0.5, 0.5]])
    made = DistilledSet.of_texts({"text": ["a film", "große Kunst"]}, labels, ("bad", "good"))
    folder = tmp_path / "set"
    made.save(folder)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(path.read_bytes())
    where = data.draw(st.integers(0, len(content) - 1))
    content[where] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        loaded = DistilledSet.load(folder, made.content_hash)
    except DamagedFileError:
        return
    assert loaded.content_hash == made.content_hash, "spaces between what JSON says do not count"


journals = st.lists(values.map(json.dumps)).map(lambda texts: "\n".join(texts).encode())


@quickly
@given(st.binary(max_size=80) | journals)
@example(b'{"curve": "loss", "st')
@example(b'{"curve": "loss", "step": [1], "value": 2}\n{"phase": "a"}\n{"finding": 1}')
def test_a_journal_of_any_bytes_says_what_can_be_read(tmp_path, content) -> None:
    journal = Journal(tmp_path)
    journal.path.write_bytes(content)
    journal.log("loss", 3, 0.5)
    assert journal.curves()["loss"][3] == 0.5
    journal.phases()
    journal.findings()
