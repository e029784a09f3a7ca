"""What a page says of tasks, methods and learners: parameters, and notes where there are some."""

from __future__ import annotations

import json

import pandas as pd

from leaderboards import build_leaderboard
from leaderboards.caption import setup_tables
from leaderboards.table import Table

SETTINGS = {"herding": '{"encoder": "minilm"}'}


def methods_table(rows: pd.DataFrame) -> Table:
    return next(t for t in setup_tables(build_leaderboard(rows)) if t.title == "Methods")


def with_note(rows: pd.DataFrame, method: str, note: str) -> pd.DataFrame:
    def noted(row: pd.Series) -> str:
        info = json.loads(row["info"])
        return json.dumps(info | {"method_note": note} if row["method"] == method else info)

    return rows.assign(info=rows.apply(noted, axis=1))


def test_a_methods_note_stands_beside_its_parameters_and_alone_where_it_has_none(make_rows):
    rows = make_rows(params=SETTINGS)
    plain = methods_table(rows)
    assert plain.header == ("method", "parameters")
    assert [[entry.text for entry in row] for row in plain.rows] == [["herding", "encoder=minilm"]]
    noted = methods_table(with_note(rows, "random", "the floor"))
    assert (noted.header, noted.left) == (("method", "note", "parameters"), 3)
    assert [[entry.text for entry in row] for row in noted.rows] == [
        ["random", "the floor", ""],
        ["herding", "", "encoder=minilm"],
    ]
