"""Bundles that agree with themselves, and are made up: only the data and the catalogue tell."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from benchmark.bundles import retraining
from benchmark.core.keys import sha256_text

PLAIN = ["some words", "other words", "more words", "fine words"]


def test_honest_sets_of_a_method_that_is_not_registered_are_valid(small, judge, made_of) -> None:
    texts = [[f"{text} {index}" for text in PLAIN] for index in range(3)]
    made_of(small, texts, [0, 0, 1, 1])
    code, problems, out = judge(small)
    assert (code, problems) == (0, [])
    assert "method mine: not registered here, so its set keys and parameters were not" in out


# Predictions


def test_the_test_labels_as_predictions_are_caught(small, judge, library, scored) -> None:
    labels = np.asarray(library.task("mood").test.labels)
    scored(small, dict.fromkeys(set(small.rows().run_key), labels))
    code, problems, out = judge(small)
    assert code == 1, out
    assert "predictions are not those that training on it gives" in problems[0]


def test_one_prediction_made_better_is_caught(small, judge, library, scored) -> None:
    labels = np.asarray(library.task("mood").test.labels)
    with np.load(small.one("predictions/*.npz")) as arrays:
        predicted = {key: arrays[key].copy() for key in arrays.files}
    key = sorted(predicted)[0]
    wrong = np.flatnonzero(predicted[key] != labels)[0]
    predicted[key][wrong] = labels[wrong]
    scored(small, predicted)
    assert "1 of 40 predictions are not those that training on it gives" in judge(small)[1][0]


def test_it_is_told_whose_predictions_are_proved_and_whose_are_not(bundle, judge) -> None:
    code, _, out = judge(bundle)
    assert code == 0
    assert "predictions of 4 cells are those that training again gives" in out
    assert "predictions of 4 cells of tiny-bert are the submitter's word" in out


def test_a_probe_is_trained_again_where_its_encoder_is_there(cli, world, tmp_path) -> None:
    flags = world.flags(tmp_path / "store")
    ran = cli(
        "run", "--suite", "toy", "--tasks-only", "mood", "--methods", "random", "--dpc", "2",
        "--learners", "tiny-probe", *flags,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert cli("submit", "--suite", "toy", "--out", tmp_path / "b", *flags).code == 0
    told = cli("submit", "--validate", tmp_path / "b", *flags)
    assert "predictions of 1 cells are those that training again gives" in told.out
    shutil.move(world.copy(tmp_path).assets / "models", tmp_path / "gone")
    bare = ["--offline", "--store", tmp_path / "s2", "--tasks", world.tasks]
    told = cli("submit", "--validate", tmp_path / "b", *bare, "--assets", tmp_path / "assets")
    assert told.code == 0, told.out
    assert "predictions of 1 cells of tiny-probe are the submitter's word" in told.out


def test_only_classes_that_are_nearly_equal_may_be_told_otherwise() -> None:
    scores = np.tile([0.5, 0.2], (1000, 1))
    scores[:2, 1] = 0.5 - 1e-6
    scores[5] = 0.5
    predicted = np.zeros(1000, np.uint8)
    assert retraining._compare(scores, predicted) == (0, 0)
    predicted[:2] = 1
    assert retraining._compare(scores, predicted) == (0, 2)
    predicted[5] = 1  # exactly equal ones have an order
    assert retraining._compare(scores, predicted) == (1, 2)
    scores[:, 1] = 0.5 - 1e-6
    assert retraining._compare(scores, np.ones(1000, np.uint8)) == (1000, 0)


# Sets


def test_one_row_a_class_may_leave_no_choice(cli, world, tmp_path) -> None:
    """The row next to the mean of its class is the same for every seed of k-means."""
    flags = world.flags(tmp_path / "store")
    ran = cli(
        "run", "--suite", "toy", "--tasks-only", "mood", "--methods", "k-centers", "--dpc", "1",
        "--learners", "tfidf-lr", *flags,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert cli("submit", "--suite", "toy", "--out", tmp_path / "b", *flags).code == 0
    told = cli("submit", "--validate", tmp_path / "b", *flags)
    assert "1 of its 3 sets are distinct" in told.out
    assert told.code == 0, told.out


def test_one_set_under_all_indices_is_caught(small, judge, made_of) -> None:
    made_of(small, [PLAIN], [0, 0, 1, 1])
    assert "mood / mine / DPC 2 / tfidf-lr: one set stands for all 3" in str(judge(small)[1])


def test_repeated_sets_are_counted(small, judge, made_of) -> None:
    made_of(small, [PLAIN, ["no", "yes", "well", "now"]], [0, 0, 1, 1])
    code, _, out = judge(small)
    assert code == 0, out
    assert "note: mood / mine / DPC 2 / tfidf-lr: 2 of its 3 sets are distinct" in out


def test_the_seeds_of_an_index_share_a_set(small, judge) -> None:
    rows = small.rows()
    rows["set_index"] = [0, 1, 1, 2, 2, 0]
    rows["seed_index"] = [0, 0, 1, 0, 1, 1]
    small.put(rows)
    assert "the seeds of one set index were trained on different sets" in str(judge(small)[1])


@pytest.mark.parametrize(
    ("labels", "counts"), [([1, 1, 1, 1], "0+4"), ([0, 1, 1, 1], "1+3"), ([0, 1, 1], "1+2")]
)
def test_each_class_of_each_set_has_its_budget(small, judge, made_of, labels, counts) -> None:
    texts = [[f"{text} {index}" for text in PLAIN[: len(labels)]] for index in range(3)]
    made_of(small, texts, labels)
    assert f"{counts} by class, which is not the budget (exact)" in str(judge(small)[1])


@pytest.mark.parametrize(
    ("method", "params", "rows", "said"),
    [
        ("eda", {"alpha": 0.1, "synonyms": "none", "times": 10}, 20, ""),
        ("eda", {"alpha": 0.1, "synonyms": "none", "times": 10}, 30, "not the budget (multiple)"),
        ("eda", {"alpha": 0.1, "times": 10}, 20, "not written as the method writes them"),
        ("eda", {"beta": 1}, 20, "no such parameters: eda has no parameter 'beta'"),
        ("full", {}, 2, "DPC 0 is for methods that keep all rows, and for no others"),
    ],
)
def test_a_registered_methods_budget_is_the_one_it_declares(
    small, judge, made_of, method, params, rows, said
) -> None:
    words = [[f"word{index} text{i}" for i in range(2 * rows)] for index in range(3)]
    params = json.dumps(params, separators=(",", ":"))
    made_of(small, words, [0] * rows + [1] * rows, method=method, params=params)
    _, problems, _ = judge(small)
    assert any(said in problem for problem in problems)
    if not said:
        assert all("set key" in problem for problem in problems)


def test_a_set_key_is_that_of_its_method(small, judge) -> None:
    rows = small.rows()
    small.put(rows.assign(set_key=[sha256_text(key)[:40] for key in rows.set_key]))
    assert "set 0: its set key is not that of this method, its parameters" in str(judge(small)[1])
    small.put(rows.assign(method="mine", set_key="../../<b>"), statistics=False)
    assert "set_key '../../<b>' is no key" in str(judge(small)[1])


# Test rows


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda texts: texts[:4], 4),
        (lambda texts: [f"{text} indeed" for text in texts[:4]], 4),
        (lambda texts: [" . ".join(texts[i::4]) for i in range(4)], 40),
        (lambda texts: [text.replace("a", "а") for text in texts[:4]], 4),
        (lambda texts: [f"{text[:2]}\u200b{text[2:]}" for text in texts[:4]], 4),
    ],
)
def test_test_rows_are_found_however_they_are_dressed(
    small, judge, world, made_of, change, count
) -> None:
    table = pd.read_parquet(world.assets / "datasets/toy/mood/default/test.parquet")
    made_of(small, [change(list(table.text))], [0, 0, 1, 1])
    problems = str(judge(small)[1])
    assert f"{count} test rows stand in its texts and not in the training pool" in problems


# Facts


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("n_classes", None, "its rows do not say n_classes"),
        ("train_rows", None, "its rows do not say train_rows"),
        ("train_rows", 81, "train_rows is 81, the pinned data have 80"),
        ("sampling", "resampled 80%", "where independent is possible"),
        ("protocol", {"a": 1}, "is none of the catalogue"),
        ("recipe", None, "its recipe is not that of the learner"),
    ],
)
def test_facts_are_there_and_those_of_the_data(small, judge, name, value, said) -> None:
    small.put(with_facts(small.rows(), {name: value}))
    assert said in str(judge(small)[1])


def test_order_and_notes_are_the_catalogues(small, judge, tmp_path) -> None:
    lies = {"task_note": "www.evil.example", "method_order": -9, "encoder": ["x"], "more": "!"}
    small.put(with_facts(small.rows(), lies))
    (tmp_path / "boards" / "results").mkdir(parents=True)
    code, _, out = judge(small, "--to", tmp_path / "boards")
    assert code == 0, out
    merged = pd.read_parquet(tmp_path / "boards" / "results" / "toy.parquet")
    info = json.loads(merged["info"].iloc[0])
    assert info["task_note"] == ""
    assert info["method_order"] == 0
    assert not {"encoder", "more"} & info.keys()


def test_figures_that_a_bundle_leaves_out_are_computed(small, judge, tmp_path) -> None:
    rows = small.rows()
    small.put(rows.assign(label_agreement=np.nan, distinct_2=np.nan))
    (tmp_path / "boards" / "results").mkdir(parents=True)
    assert judge(small, "--to", tmp_path / "boards")[0] == 0
    merged = pd.read_parquet(tmp_path / "boards" / "results" / "toy.parquet")
    assert merged.label_agreement.tolist() == rows.label_agreement.tolist()


def test_halves_that_a_bundle_leaves_out_are_computed(bundle, judge, tmp_path) -> None:
    rows = bundle.rows()
    rows = rows[(rows.task == "pair") & (rows.learner == "tfidf-lr")]
    bundle.keep(rows.assign(low_overlap=np.nan, high_overlap=np.nan))
    (tmp_path / "boards" / "results").mkdir(parents=True)
    assert judge(bundle, "--to", tmp_path / "boards")[0] == 0
    merged = pd.read_parquet(tmp_path / "boards" / "results" / "toy.parquet")
    assert merged.low_overlap.tolist() == rows.low_overlap.tolist()


def with_facts(rows: pd.DataFrame, changes: dict[str, object]) -> pd.DataFrame:
    """The rows with other facts of their cells; None takes a fact out."""
    info = {**json.loads(rows["info"].iloc[0]), **changes}
    kept = {name: value for name, value in info.items() if value is not None}
    return rows.assign(**{"info": json.dumps(kept)})
