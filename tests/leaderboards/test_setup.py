"""What a page says of methods: parameters, notes where there are some, sets beyond the budget."""

from __future__ import annotations

import json

import pandas as pd

from leaderboards import build_leaderboard
from leaderboards.caption import reading_points, setup_tables
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


def test_a_method_whose_sets_exceed_the_budget_is_named(make_rows):
    rows = make_rows()
    named = [point for point in reading_points(build_leaderboard(rows)) if "DPC allows" in point]
    assert named == []
    larger = rows["set_rows"].where(rows["method"] != "herding", 10 * rows["set_rows"])
    named = [
        point
        for point in reading_points(build_leaderboard(rows.assign(set_rows=larger)))
        if "DPC allows" in point
    ]
    assert [point.partition(",")[0] for point in named] == [
        "herding: a set holds 10 times the rows that the DPC allows"
    ]
