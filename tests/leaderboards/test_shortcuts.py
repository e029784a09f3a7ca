"""Scores by shared words: of tasks of pairs only, and of rows that have them."""

from __future__ import annotations

import numpy as np
import pytest

from leaderboards import build_leaderboard, render
from leaderboards.shortcuts import shortcut_tables


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


def test_rows_without_halves_have_no_table(rows) -> None:
    board = build_leaderboard(rows)
    assert shortcut_tables(board) == []
    assert "words in common" not in render(board, "md")
