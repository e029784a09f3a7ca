"""The rank correlation of learners: known orders in, known correlations out."""

from __future__ import annotations

import numpy as np
import pytest

from leaderboards import build_leaderboard
from leaderboards.agreement import agreement_table

METHODS = ("a", "b", "c", "d")


def board_of(make_rows, orders: dict[str, list[float]], methods: tuple[str, ...] = METHODS):
    frame = make_rows(
        tasks=("one", "two"),
        methods=dict.fromkeys(methods, 0.0),
        learners=tuple(orders),
        dpcs=("5",),
        sets=2,
        seeds=1,
    )
    for learner, scores in orders.items():
        for method, score in zip(methods, scores, strict=True):
            frame.loc[(frame.learner == learner) & (frame.method == method), "score"] = score
    return build_leaderboard(frame)


def test_equal_reversed_and_swapped_orders(make_rows) -> None:
    table = agreement_table(
        board_of(
            make_rows,
            {
                "x": [0.1, 0.2, 0.3, 0.4],
                "same": [0.5, 0.6, 0.7, 0.8],
                "reverse": [0.4, 0.3, 0.2, 0.1],
                "swapped": [0.2, 0.1, 0.3, 0.4],
            },
        )
    )
    assert table is not None
    assert table.header == ("learner", "x", "same", "reverse", "swapped")
    values = [entry.value for entry in table.rows[0]]
    assert values[:2] == [None, None]
    assert values[2:] == pytest.approx([1, -1, 4 / 6])  # 5 of 6 pairs in order: (5 - 1) / 6
    assert table.rows[0][2].text == "1.00 (2)"
    found = np.array([[cell.value or np.nan for cell in row[1:]] for row in table.rows])
    np.testing.assert_allclose(found, found.T)


def test_two_methods_or_one_learner_have_no_table(make_rows) -> None:
    assert (
        agreement_table(board_of(make_rows, {"x": [0.1, 0.2], "y": [0.1, 0.2]}, ("a", "b"))) is None
    )
    assert agreement_table(board_of(make_rows, {"x": [0.1, 0.2, 0.3, 0.4]})) is None


def test_a_tied_order_has_no_correlation(make_rows) -> None:
    assert (
        agreement_table(board_of(make_rows, {"x": [0.1, 0.2, 0.3, 0.4], "tied": [0.5] * 4})) is None
    )
