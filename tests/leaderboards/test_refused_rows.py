"""Rows that make no leaderboard are refused with a reason."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmark.core.errors import InputError
from leaderboards import build_leaderboard


def broken(rows: pd.DataFrame, **values) -> pd.DataFrame:
    return rows.astype(dict.fromkeys(values, object)).assign(**values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.drop(columns=["score", "info"]), "lack the columns score, info"),
        (lambda r: broken(r, status="fine"), "status must be"),
        (lambda r: broken(r, dpc="many"), "dpc must be a number"),
        (lambda r: broken(r, dpc="-1"), "dpc must be a number"),
        (lambda r: broken(r, info="{"), "not a JSON object"),
        (lambda r: broken(r, params="[1]"), "not a JSON object"),
        (lambda r: broken(r, score="high"), "score holds something that is no number"),
        (lambda r: broken(r, planned_sets=None), "planned_sets has rows without a value"),
        (lambda r: pd.concat([r, r.tail(1)]), "two rows for one run"),
        (lambda r: r.head(0), "no rows"),
    ],
)
def test_malformed_rows_are_refused_with_a_reason(rows, change, message):
    with pytest.raises(InputError, match=message):
        build_leaderboard(change(rows))


def test_several_suites_need_a_name_and_an_unknown_one_gets_a_hint(make_rows):
    frame = pd.concat([make_rows(suite="glue"), make_rows(suite="demo")])
    assert build_leaderboard(frame, suite="demo").suite == "demo"
    with pytest.raises(InputError, match="several suites, name one: demo, glue"):
        build_leaderboard(frame)
    with pytest.raises(InputError, match="Did you mean 'glue'"):
        build_leaderboard(frame, suite="gleu")
