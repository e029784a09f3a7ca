"""Sets made elsewhere: what is odd about them is said beside their score."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmark.core.distilled import DistilledSet
from benchmark.given_sets import oddities

CLASSES = ("bad", "good")


def made(*labels, text="row"):
    columns = {"text": tuple(f"{text} {i}" for i in range(len(labels)))}
    return DistilledSet.of_texts(columns, np.array(labels), CLASSES)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ([made(0, 1)], []),
        ([made(0, 1), made(1, 0)], []),
        ([made([0.5, 0.5], [0.1, 0.9])], []),
        ([made(0, 1), made(0, 1)], ["1.json is a copy of 0.json. A copy is no further set"]),
        (
            [made(0, 1)] * 5,
            ["1.json is a copy of 0.json, 2.json is a copy of 0.json, 3.json is a copy of 0.json "
             "and 1 more. "],
        ),
        ([made(0, 1), made(0, 1, 0, 1)], ["sets have 2 to 4 rows"]),
        ([made(0, 0)], ["0.json has no row of 'good': learners cannot predict a class"]),
        ([made(0, 1, 1)], ["rows a class differ: 0.json has 1 to 2"]),
    ],
)  # fmt: skip
def test_what_is_odd_is_said(sets, said) -> None:
    found = list(oddities([(f"{i}.json", one) for i, one in enumerate(sets)]))
    assert len(found) == len(said)
    for one, words in zip(found, said, strict=True):
        assert words in one


def test_score_says_it_and_where_the_rows_are(world, tmp_path, cli) -> None:
    rows = [{"text": "a warm film", "label": "good"}, {"text": "dull", "label": "bad"}]
    for name in ("0.json", "1.json"):
        (tmp_path / name).write_text(json.dumps(rows))
    flags = ["--task", "mood", "--name", "My Method", "--learners", "tfidf-lr"]
    told = cli("score", tmp_path, *flags, *world.flags(tmp_path / "s"))
    assert told.code == 0, told.err
    assert "My Method on mood: 2 sets" in told.out
    assert "note: 1.json is a copy of 0.json" in told.out
    assert "note: 'My Method' cannot be published" in told.out
    assert "leaderboard --suite submitted" in told.out
    page = cli("leaderboard", "--suite", "submitted", *world.flags(tmp_path / "s"))
    assert page.code == 0


def test_an_interval_goes_no_further_than_the_metric(world, tmp_path, cli) -> None:
    """Two sets of which one is right and one is wrong: the t-interval is wider than all scores."""
    texts = world.assets / "datasets/toy/mood/default/train.parquet"
    import pandas as pd

    table = pd.read_parquet(texts).drop_duplicates("text").iloc[:40]
    for name, labels in (("0", table.label), ("1", 1 - table.label)):
        rows = [{"text": t, "label": int(y)} for t, y in zip(table.text, labels, strict=True)]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    flags = ["--task", "mood", "--name", "two", "--learners", "tfidf-lr"]
    told = cli("score", tmp_path, *flags, *world.flags(tmp_path / "s"))
    assert told.code == 0, told.err
    (row,) = [line for line in told.out.splitlines() if "0.0000 to 1.0000" in line]
    assert [part.strip() for part in row.split("│")[-4:-1]] == ["2", "10", "ok"]
