"""Groups of rows, and what methods declare: on pages and in the CSV, where there is anything."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from leaderboards import build_leaderboard, render
from leaderboards.groups import fairness_tables
from leaderboards.rows import digest, normalise


def grouped(rows):
    there = rows.task == "mrpc"
    return rows.assign(
        tpr_gap=np.where(there, 0.9 - rows.score, np.nan),
        worst_group=np.where(there, rows.score - 0.1, np.nan),
        epsilon=np.where(rows.method == "herding", 4.0, np.nan),
        lm_tokens=np.where(rows.method == "herding", 1234.0, np.nan),
    )


def test_two_columns_with_intervals_over_sets(rows) -> None:
    board = build_leaderboard(grouped(rows))
    first = fairness_tables(board)[0]
    assert first.header == ("DPC", "method", "mrpc\nTPR gap", "mrpc\nworst group")
    cell = board.cell("mrpc", "tfidf-lr", "10", ("herding", "{}"))
    line = next(r for r in first.rows if (r[0].text, r[1].text) == ("10", "herding"))
    assert line[2].value == pytest.approx(0.9 - cell.mean)
    assert line[3].value == pytest.approx(cell.mean - 0.1)
    worst = cell.fairness["worst_group"]
    assert worst.ci_low == pytest.approx(cell.summary.ci_low - 0.1)
    assert line[3].text.endswith(f"{100 * worst.ci_high:.1f}]")
    assert "## Groups" in render(board, "md")


def test_the_csv_has_the_columns_where_a_suite_has_groups(rows) -> None:
    plain = pd.read_csv(io.StringIO(render(build_leaderboard(rows), "csv")))
    found = pd.read_csv(io.StringIO(render(build_leaderboard(grouped(rows)), "csv")))
    new = [name for name in found if name not in plain]
    assert new == [
        "tpr_gap", "tpr_gap_low", "tpr_gap_high", "worst_group", "worst_group_low",
        "worst_group_high", "epsilon", "lm_tokens",
    ]  # fmt: skip
    line = found[(found.task == "mrpc") & (found.method == "herding")].iloc[0]
    assert line.tpr_gap_low < line.tpr_gap < line.tpr_gap_high
    assert line.epsilon == 4.0
    assert found[found.task != "mrpc"].tpr_gap.isna().all()


def test_privacy_and_tokens_stand_beside_the_sets(rows) -> None:
    page = render(build_leaderboard(grouped(rows)), "md")
    assert "privacy<br>ε" in page
    assert "language model<br>tokens a set" in page


def test_rows_without_groups_have_no_table_and_keep_their_digest(rows) -> None:
    board = build_leaderboard(rows)
    assert fairness_tables(board) == []
    assert "## Groups" not in render(board, "md")
    assert digest(normalise(rows)) != digest(normalise(grouped(rows)))
