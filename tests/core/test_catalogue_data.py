"""The catalogue's data files hang together: names meet, pins are commits, values are sound."""

import dataclasses
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import benchmark
from benchmark.core.catalogue import Catalogue
from benchmark.core.errors import InputError
from benchmark.core.task import METRICS, Carve, Task

FOLDER = Path(benchmark.__file__).parent / "catalogue"
GLUE = {"cola", "sst2", "mrpc", "qqp", "mnli", "qnli", "rte", "wnli"}
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


def read(name):
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


TASKS = read("tasks")["task"]
SUITES = read("suites")["suite"]
MODELS, ENCODERS, LEARNERS = (read("learners")[kind] for kind in ("model", "encoder", "learner"))
PROTOCOLS = read("protocols")["protocol"]
CODE_LEARNERS = {
    "tfidf-lr", "tfidf-nb", "tfidf-svm", "probe", "feature-mlp", "text-cnn", "text-rnn",
    "in-context",
}  # fmt: skip


def each(table):
    return pytest.mark.parametrize("name", table)


def test_the_folder_holds_data_only():
    names = {path.name for path in FOLDER.iterdir() if path.name != "__pycache__"}
    assert names == {"tasks.toml", "suites.toml", "learners.toml", "protocols.toml"}


def test_the_tables_are_those_documented():
    assert set(read("tasks")) == {"task"}
    assert set(read("suites")) == {"suite"}
    assert set(read("learners")) == {"model", "encoder", "learner"}
    assert set(read("protocols")) == {"protocol"}


@each(TASKS)
def test_task(name):
    entry = TASKS[name]
    assert set(entry) <= {field.name for field in fields(Task)} - {"name"}
    assert {"dataset", "text", "label", "classes", "metric"} <= set(entry)
    carve = Carve(**entry["carve"]) if "carve" in entry else None
    task = Task(name, **{**entry, "carve": carve})
    assert len(task.text) in (1, 2)
    assert len(set(task.classes)) == task.n_classes >= 2
    assert all(isinstance(text, str) and text for text in (*task.text, *task.classes, task.label))
    assert task.metric in METRICS
    assert task.metric != "accuracy_f1" or task.n_classes == 2
    assert carve is None or 0 < carve.dev + carve.test < 1


@each(TASKS)
def test_task_is_pinned_or_says_that_it_is_not(name):
    entry = TASKS[name]
    if entry["dataset"].startswith("package:"):
        assert "revision" not in entry
        assert SHA256.fullmatch(entry["sha256"])
    elif "revision" in entry:
        assert COMMIT.fullmatch(entry["revision"])
    else:
        assert "unpinned" in entry["note"]


def test_one_repository_has_one_revision():
    pins = {(entry["dataset"], entry.get("revision")) for entry in TASKS.values()}
    assert len(pins) == len({dataset for dataset, _ in pins})


def test_glue_is_scored_on_validation_by_its_own_metrics():
    assert {name for name, entry in TASKS.items() if entry["dataset"] == "nyu-mll/glue"} == GLUE
    for name in GLUE:
        assert TASKS[name]["test"] == ("validation_matched" if name == "mnli" else "validation")
    metrics = {name: entry["metric"] for name, entry in TASKS.items()}
    assert {name: metric for name, metric in metrics.items() if metric != "accuracy"} == {
        "cola": "matthews",
        "mrpc": "accuracy_f1",
        "qqp": "accuracy_f1",
    }
    assert TASKS["mrpc"]["classes"][1] == "equivalent"
    assert TASKS["qqp"]["classes"][1] == "duplicate"
    assert TASKS["rte"]["classes"] == TASKS["wnli"]["classes"][::-1]


def test_the_carved_task_says_so():
    assert "not comparable" in TASKS["rotten-tomatoes-carved"]["note"]
    assert TASKS["rotten-tomatoes-carved"]["classes"] == TASKS["rotten-tomatoes"]["classes"]


@each(SUITES)
def test_suite(name):
    suite = SUITES[name]
    keys = {"tasks", "methods", "learners", "encoder", "protocol", "dpc", "note", "cells"}
    assert set(suite) <= keys
    assert len(set(suite["tasks"])) == len(suite["tasks"])
    assert set(suite["tasks"]) <= set(TASKS)
    assert set(suite["methods"]) >= {"random", "k-centers", "herding"}
    assert suite.get("encoder", "minilm") in ENCODERS
    assert suite.get("protocol", "standard") in PROTOCOLS
    assert all(dpc > 0 for dpc in suite.get("dpc", []))
    for part in (suite, *suite.get("cells", [])):
        learners = {name.partition("@")[0] for name in part["learners"]}
        assert learners <= set(LEARNERS) | CODE_LEARNERS
    for cell in suite.get("cells", []):
        assert set(cell) == {"methods", "learners", "dpc", "sets", "seeds"}


def test_the_suites_are_those_of_the_design():
    assert set(SUITES["glue"]["tasks"]) == GLUE - {"wnli"}
    assert SUITES["dilm"]["tasks"] == ["sst2", "qqp", "mnli"]
    assert SUITES["dallme"]["tasks"] == ["imdb", "ag-news"]
    assert SUITES["tdd"]["tasks"] == ["imdb", "sst5", "trec"]
    assert SUITES["attention-labels"]["tasks"] == ["ag-news", "sst2", "mrpc", "qnli"]
    assert SUITES["gradmm"]["tasks"] == ["sst2", "tweet-emotion", "rotten-tomatoes"]
    assert SUITES["bptt-report"]["tasks"] == ["sst2", "rotten-tomatoes", "imdb", "ag-news"]
    bert = {name for name, suite in SUITES.items() if suite.get("encoder") == "bert-base"}
    assert bert == {"dilm", "dilm-ablation", "attention-labels"}


def test_text_20_has_twenty_hub_tasks_over_all_kinds():
    tasks = [TASKS[name] for name in SUITES["text-20"]["tasks"]]
    assert len(tasks) == 20
    assert not any(task["dataset"].startswith("package:") for task in tasks)
    assert {len(task["text"]) for task in tasks} == {1, 2}
    classes = [len(task["classes"]) for task in tasks]
    assert (min(classes), max(classes)) == (2, 77)


def test_the_demo_has_ten_cells():
    demo = SUITES["demo"]
    parts = [{**demo, **cell} for cell in ({}, *demo["cells"])]
    cells = [len(p["methods"]) * len(p["learners"]) * len(p["dpc"]) for p in parts]
    assert sum(cells) * len(demo["tasks"]) == 10


@each(MODELS)
def test_model(name):
    entry = MODELS[name]
    keys = {"hub", "revision", "package", "parts", "sha256", "weights", "gated", "files", "note"}
    assert set(entry) <= keys
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry["hub"])
    pinned = "revision" in entry
    assert COMMIT.fullmatch(entry["revision"]) if pinned else "unpinned" in entry["note"]
    packaged = "package" in entry or "parts" in entry
    assert SHA256.fullmatch(entry["sha256"]) if packaged else "sha256" not in entry
    assert all(part.count("/") >= 2 for part in entry.get("parts", []))
    assert re.fullmatch(r"bin|.+\.gguf", entry.get("weights", "bin"))
    assert entry.get("gated", True) is True


@each(ENCODERS)
def test_encoder(name):
    entry = ENCODERS[name]
    if "endpoint" in entry:
        assert set(entry) - {"prefix"} == {"endpoint", "dimension", "normalise", "max_length"}
        assert entry["dimension"] > 0
        return
    assert set(entry) == {"model", "pooling", "normalise", "max_length", "dtype", "prefix"}
    assert entry["model"] in MODELS
    assert entry["pooling"] in ("mean", "cls", "words")
    assert ("files" in MODELS[entry["model"]]) == (entry["pooling"] == "words")
    assert entry["dtype"] in ("bfloat16", "float32")
    assert isinstance(entry["normalise"], bool)
    assert 0 < entry["max_length"] <= 512


@each(LEARNERS)
def test_learner(name):
    entry = LEARNERS[name]
    kinds = {"transformer", "transformer-epochs", "text-to-text", "in-context"}
    assert entry["kind"] in {*kinds, "text-cnn", "text-rnn"}
    assert entry["model"] in MODELS
    assert name not in CODE_LEARNERS


@each(PROTOCOLS)
def test_protocol(name):
    entry = PROTOCOLS[name]
    assert set(entry) == {"sets", "seeds", "dpc", "resample", "seed", "note"}
    assert min(entry["sets"], entry["seeds"], *entry["dpc"]) > 0
    assert entry["dpc"] == sorted(set(entry["dpc"]))
    assert 0 < entry["resample"] <= 1


@pytest.mark.parametrize("name", ["minilm", "e5-base-v2", "glove-300d", "openai-ada-002"])
def test_any_encoder_has_a_form_with_a_prompt(name):
    catalogue = Catalogue.load()
    plain, prompted = catalogue.encoder(name), catalogue.encoder(f"{name}-prompt")
    assert prompted.prefix == plain.prefix + "Main topic or tone of a text, one of {classes}: "
    assert prompted == dataclasses.replace(plain, name=prompted.name, prefix=prompted.prefix)
    with pytest.raises(InputError, match="unknown encoder 'minilmm-prompt'"):
        catalogue.encoder("minilmm-prompt")
