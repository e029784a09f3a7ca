"""Scores by shared words: of tasks of pairs only, and of rows that have them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluators.word_overlap import low_half
from leaderboards import build_leaderboard, render
from leaderboards.shortcuts import LARGEST_CLASS, shortcut_tables


def test_two_columns_for_each_task_of_pairs(rows) -> None:
    pairs = rows.task == "mrpc"
    frame = rows.assign(
        low_overlap=np.where(pairs, rows.score - 0.1, np.nan),
        high_overlap=np.where(pairs, rows.score + 0.1, np.nan),
    )
    board = build_leaderboard(frame)
    first, second = shortcut_tables(board)
    assert (first.title, second.title) == ("tfidf-lr", "probe")
    assert first.header == ("DPC", "method", "mrpc\nfew", "mrpc\nmany")
    assert [row[0].text for row in first.rows] == ["5"] * 3 + ["10"] * 3 + ["20"] * 3 + ["all"]
    mean = board.cell("mrpc", "tfidf-lr", "10", ("herding", "{}")).mean
    line = next(r for r in first.rows if (r[0].text, r[1].text) == ("10", "herding"))
    assert [entry.value for entry in line[2:]] == pytest.approx([mean - 0.1, mean + 0.1])
    assert "## Few and many words in common" in render(board, "md")


def test_the_page_says_that_classes_are_no_more_alike_in_the_halves(rows) -> None:
    halves = {"low_overlap": rows.score, "high_overlap": rows.score}
    page = render(build_leaderboard(rows[rows.task == "mrpc"].assign(**halves)), "md")
    assert "is the shortcut" not in page
    assert "class balance" in page
    assert "mrpc 53.9 and 82.8%" in page
    page = render(build_leaderboard(rows[rows.task == "cola"].assign(**halves)), "md")
    assert "class balance" in page
    assert "82.8" not in page


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("task", "file", "texts"),
    [
        ("mrpc", "nyu-mll/glue/mrpc/validation", ("sentence1", "sentence2")),
        ("mnli-10k", "subsets/mnli-10k/default/validation_matched", ("premise", "hypothesis")),
    ],
)
def test_the_shares_of_the_largest_class_are_those_of_the_test_splits(task, file, texts) -> None:
    path = Path(os.environ["BENCHMARK_ASSETS"]) / "datasets" / f"{file}.parquet"
    data = pd.read_parquet(path)
    low = low_half({name: data[name].tolist() for name in texts})
    shares = [data.label[half].value_counts(normalize=True).max() for half in (low, ~low)]
    assert LARGEST_CLASS[task] == pytest.approx(shares, abs=5e-4)


def test_rows_without_halves_have_no_table(rows) -> None:
    board = build_leaderboard(rows)
    assert shortcut_tables(board) == []
    assert "words in common" not in render(board, "md")
