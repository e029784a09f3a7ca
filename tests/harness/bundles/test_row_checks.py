"""What rows may say at all: names, budgets, costs, findings, sizes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from forger import Bundle

from benchmark.bundles.row_checks import check_rows, fault_of_findings, is_dpc
from benchmark.core.records import Status


@pytest.fixture(scope="module")
def rows(made) -> pd.DataFrame:
    found = pd.read_parquet(made / "rows.parquet")
    return found.astype({"reason": object, "preparation": object, "perplexity_model": object})


def test_rows_of_a_run_are_as_they_should_be(rows) -> None:
    assert check_rows(rows) == []


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        *(
            ("method", name, "is no name")
            for name in (
                "k‑centers", "k-centers ", "www.evil.example/x", "a@evil.example", "=1+1", "+a", "",
                "<img src=x>", "![x](http://e)", "- nested", "random (submitted)", "a" * 65,
                "Random",
            )
        ),
        ("task", "mood\n", "is no name"),
        ("learner", "tfidf-lr@", "is no name"),
        ("learner", "minilm@steps=4 0", "is no name"),
        *(
            ("dpc", dpc, "is not written as")
            for dpc in ("2.0", "２", "2e0", " 2", "+2", "0_2", "02")
        ),
        ("params", '{"a": 1}', "not canonical JSON"),
        ("params", '{"a":1e999}', "not canonical JSON"),
        ("params", f'{{"a":"{"x" * 5000}"}}', "longer than 4,000 characters"),
        ("params", '{"a":"\u202e"}', "cannot be printed"),
        ("set_key", "A" * 40, "is no key"),
        ("device", "GPU\n", "printable ASCII"),
        ("device", "a bigger one", "is not the one that its environment names"),
        ("structural", True, "give a reason why they are not"),
        ("reason", "because", "give a reason why they are not"),
        ("distil_seconds", -5.0, "distil_seconds is -5 in 48 rows, which it cannot be"),
        ("distil_seconds", np.nan, "distil_seconds is nan in 48 rows"),
        ("train_seconds", np.nan, "train_seconds is nan"),
        ("predict_seconds", -1e-9, "predict_seconds is -1e-09"),
        ("peak_memory_mb", np.inf, "peak_memory_mb is inf"),
        ("created", np.inf, "created is inf"),
        ("created", np.nan, "created is nan"),
        ("created", 1e12, "created is 1e+12"),
        ("epsilon", -1.0, "epsilon is -1"),
        ("delta", np.inf, "delta is inf"),
        ("lm_tokens", -1.0, "lm_tokens is -1"),
        ("perplexity", 0.5, "perplexity is 0.5"),
        ("perplexity", 20.0, "a perplexity without the model"),
        ("perplexity_model", "gpt2", "a perplexity without the model"),
        ("perplexity_model", "a b", "perplexity_model 'a b' is no name"),
        ("preparation", '{"found_x":"<b>"}', "found_x is '<b>', which is no number"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(rows, column, value, said) -> None:
    assert said in " / ".join(check_rows(rows.assign(**{column: value})))


@pytest.mark.parametrize(
    "name", ["vanilla-lm+herding", "a.b_c", "tdd-text-cosine-cpu", "0", "a" * 64]
)
def test_names_of_the_projects_own_kind_are_fine(rows, name) -> None:
    assert check_rows(rows.assign(method=name)) == []


@pytest.mark.parametrize("name", ["minilm@steps=400@learning_rate=1e-05", "minilm@recipe=long"])
def test_variants_of_learners_are_fine(rows, name) -> None:
    assert check_rows(rows.assign(learner=name)) == []


def test_sets_made_elsewhere_took_nobody_knows_how_long(rows) -> None:
    info = json.dumps({**json.loads(rows["info"].iloc[0]), "submitted": True})
    assert check_rows(rows.assign(distil_seconds=np.nan, **{"info": info})) == []


@pytest.mark.parametrize("dpc", ["0", "1", "10", "4.75", "0.5", "12345", "1.234e+04"])
def test_a_budget_as_the_benchmark_prints_it(dpc) -> None:
    assert is_dpc(dpc)


@pytest.mark.parametrize(
    "dpc", ["", "1.", ".5", "4.750", "-0", "nan", "inf", "1e999", "1e5", "0.30000001", "1.2.3", "e"]
)
def test_a_budget_as_it_never_prints_it(dpc) -> None:
    assert not is_dpc(dpc)


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({}, ""),
        ({"prepare_seconds": 3, "phase_teacher": 1.5, "found_best_step": 4}, ""),
        ({"found_x_before": 1.0, "found_x_after": 2.0, "found_x_change": 1.0}, ""),
        ({"found_x": "<b>"}, "found_x is '<b>', which is no number"),
        ({"found_x": True}, "found_x is 'True', which is no number"),
        ({"found_x": float("inf")}, "found_x is 'inf', which is no number"),
        ({"prepare_seconds": [1]}, "prepare_seconds is '[1]', which is no number"),
        ({"found_<b>": 1}, "'found_<b>' is neither seconds of a phase nor a finding"),
        ({"speed": 1}, "'speed' is neither seconds of a phase nor a finding"),
        ({"found_x_before": 1}, "found_x_after is not there"),
        ({"found_x_before": 1, "found_x_after": 1}, "found_x_change is not there"),
        ({"found_x_change_low": 1}, "found_x_change_high is not there"),
    ],
)
def test_findings_are_numbers_with_all_that_belongs_to_them(found, fault) -> None:
    assert fault_of_findings(found).startswith(fault)
    assert bool(fault_of_findings(found)) == bool(fault)


# As a bundle


def test_they_are_checked_in_a_bundle(bundle: Bundle, judge) -> None:
    bundle.put(bundle.rows().assign(distil_seconds=-5.0))
    code, problems, _ = judge(bundle)
    assert code == 1
    assert "distil_seconds is -5 in 48 rows, which it cannot be" in problems


def test_rows_that_make_no_page_are_a_problem(bundle: Bundle, judge) -> None:
    rows = bundle.rows()
    bundle.put(rows.assign(preparation='{"found_x_before":1}'))
    said = " ".join(judge(bundle)[1])
    assert "found_x_after is not there, though others of its kind are" in said


@pytest.mark.parametrize("size", [10**8, 2**16 + 1])
def test_a_long_text_is_refused_before_it_is_written_out(bundle: Bundle, judge, size) -> None:
    rows = bundle.rows().assign(status=Status.OK.value)
    rows.loc[0, "reason"] = "x" * size
    rows.to_parquet(bundle.folder / "rows.parquet", compression="zstd", index=False)
    bundle.sign()
    (problem,) = judge(bundle)[1]
    whole = "rows.parquet: unpacks to 100,"
    long = "rows.parquet: column reason holds a text of more than 64 KB"
    assert problem.startswith(whole if size == 10**8 else long)


@pytest.mark.parametrize("name", ["README", "readme", "Toy", "é", "a" * 65])
def test_a_suite_is_no_file_of_ours(bundle: Bundle, judge, name) -> None:
    head = json.loads((bundle.folder / "bundle.json").read_text())
    (bundle.folder / "bundle.json").write_text(json.dumps({**head, "suite": name}))
    bundle.put(bundle.rows().assign(suite=name))
    assert "is no name for a file" in judge(bundle)[1][0]
