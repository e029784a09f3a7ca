"""Tampering with checksums that agree: each way is caught by its own message."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forger import Bundle


def mood(rows: pd.DataFrame) -> pd.Series:
    return (rows.task == "mood") & (rows.method == "random") & (rows.dpc == "2")


def first(rows: pd.DataFrame) -> pd.Series:
    return mood(rows) & (rows.learner == "tfidf-lr") & (rows["set_index"] == 0)


def better_score(bundle: Bundle) -> None:
    rows = bundle.rows()
    bundle.change(first, score=rows.score[first(rows)] / 2, accuracy=rows.score[first(rows)] / 2)


def other_metric(bundle: Bundle) -> None:
    bundle.change(first, macro_f1=0.123)


def other_predictions(bundle: Bundle) -> None:
    def edit(found):
        key = sorted(found)[0]
        found[key] = np.where(np.arange(len(found[key])) < 15, 0, 1).astype(np.uint8)

    bundle.predictions(edit)


def no_predictions(bundle: Bundle) -> None:
    bundle.predictions(lambda found: found.pop(sorted(found)[0]))


def more_predictions(bundle: Bundle) -> None:
    bundle.predictions(lambda found: found.update({"0" * 40: np.zeros(40, np.uint8)}))


def shorter_predictions(bundle: Bundle) -> None:
    bundle.predictions(lambda found: found.update({k: v[:-1] for k, v in found.items()}))


def seventh_class(bundle: Bundle) -> None:
    bundle.predictions(lambda found: found.update({k: v + 7 for k, v in found.items()}))


def long_predictions(bundle: Bundle) -> None:
    huge = np.zeros(10**7, np.uint8)  # ten thousand times smaller in the file
    bundle.predictions(lambda found: found.update({sorted(found)[0]: huge}))


def other_text(bundle: Bundle) -> None:
    path = bundle.one("sets/*/rows.jsonl")
    path.write_text(path.read_text().replace("the", "thy", 1).replace(" a ", " b ", 1))
    bundle.sign()


def other_label(bundle: Bundle) -> None:
    path = bundle.one("sets/*/set.json")
    head = json.loads(path.read_text())
    head["hard_labels"] = head["hard_labels"][::-1]
    path.write_text(json.dumps(head))
    bundle.sign()


def other_set(bundle: Bundle) -> None:
    bundle.set_with("a text that no method chose")


def surplus_set(bundle: Bundle) -> None:
    shutil.copytree(bundle.one("sets/*"), bundle.folder / "sets" / ("0" * 40))
    bundle.sign()


def fewer_runs(bundle: Bundle) -> None:
    rows = bundle.rows()
    bundle.put(rows[~first(rows)])


def smaller_plan(bundle: Bundle) -> None:
    rows = bundle.rows()
    cell = mood(rows) & (rows.learner == "tfidf-lr")
    rows = rows[~cell | (rows["set_index"] < 2)].copy()
    rows.loc[mood(rows) & (rows.learner == "tfidf-lr"), "planned_sets"] = 2
    bundle.put(rows)


def two_plans(bundle: Bundle) -> None:
    bundle.change(first, planned_seeds=3)


def failed_run(bundle: Bundle) -> None:
    bundle.change(first, status="failed")


def edited(change: Callable[[dict], None]) -> Callable[[Bundle], None]:
    def spoil(bundle: Bundle) -> None:
        rows = bundle.rows()
        chosen = (rows.task == "mood") & (rows.learner == "tiny-bert")
        info = json.loads(rows["info"][chosen].iloc[0])
        change(info)
        rows.loc[chosen, "info"] = json.dumps(info)
        bundle.put(rows)

    return spoil


def swapped_runs(bundle: Bundle) -> None:
    rows = bundle.rows()
    mine = mood(rows) & (rows.learner == "tiny-bert") & (rows["set_index"] == 0)
    names = ["run_key", "score", "accuracy", "macro_f1", "f1", "matthews", "accuracy_f1"]
    rows.loc[mine, names] = rows.loc[mine, names].to_numpy()[::-1]
    bundle.put(rows)


def other_budget(bundle: Bundle) -> None:
    rows = bundle.rows()
    rows = rows[(rows.dpc != "2") | (rows.task != "mood")].copy()
    for path in bundle.folder.glob("predictions/*"):
        path.unlink()
    rows.loc[rows.task == "mood", "dpc"] = "3"
    bundle.put(rows)


def fewer_copies(bundle: Bundle) -> None:
    bundle.change(lambda rows: rows.set_hash == rows.set_hash[mood(rows)].iloc[0], copies=0.5)


def more_variety(bundle: Bundle) -> None:
    bundle.change(lambda rows: rows.set_hash == rows.set_hash[mood(rows)].iloc[0], distinct_2=0.1)


def better_labels(bundle: Bundle) -> None:
    bundle.change(lambda rows: rows.task == "mood", label_agreement=0.999)


def fewer_words(bundle: Bundle) -> None:
    bundle.change(lambda rows: rows.set_hash == rows.set_hash[mood(rows)].iloc[0], set_words=3.0)


def other_environment(bundle: Bundle) -> None:
    bundle.change(first, environment='{"device":"a bigger one"}')


def other_statistics(bundle: Bundle) -> None:
    path = bundle.folder / "statistics.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:4], lines[4].replace("ok", "ok ", 1), *lines[5:]]))
    bundle.sign()


def other_column(bundle: Bundle) -> None:
    bundle.put(bundle.rows().assign(note="x"), statistics=False)


def other_type(bundle: Bundle) -> None:
    bundle.put(bundle.rows().assign(score="high"), statistics=False)


def bad_status(bundle: Bundle) -> None:
    bundle.put(bundle.rows().assign(status="great"), statistics=False)


def repeated_row(bundle: Bundle) -> None:
    rows = bundle.rows()
    bundle.put(pd.concat([rows, rows[first(rows)]]), statistics=False)


def path_as_hash(bundle: Bundle) -> None:
    rows = bundle.rows()
    rows.loc[first(rows), "set_hash"] = "../../../../etc"
    bundle.put(rows, statistics=False)


def head_with(**values: object) -> Callable[[Bundle], None]:
    def spoil(bundle: Bundle) -> None:
        path = bundle.folder / "bundle.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
        bundle.sign()

    return spoil


def deep_json(bundle: Bundle) -> None:
    (bundle.folder / "environments.json").write_text("[" * 100_000)
    bundle.sign()


def no_parquet(bundle: Bundle) -> None:
    (bundle.folder / "rows.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    bundle.sign()


def unknown_task(bundle: Bundle) -> None:
    bundle.change(lambda rows: rows.task == "mood", task="moon")


def drop_revision(info: dict) -> None:
    info["revision"] = "0" * 40


def drop_rows(info: dict) -> None:
    info["test_rows"] = 39


def other_recipe(info: dict) -> None:
    info["recipe"]["steps"] = 400


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (better_score, "seed 0: accuracy is"),
        (other_metric, "macro_f1 is 0.123, its predictions give"),
        (other_predictions, "its predictions give"),
        (no_predictions, "1 runs have none"),
        (more_predictions, "1 arrays are of no run of the cell"),
        (shorter_predictions, "has not one class a test row"),
        (seventh_class, "has not one class a test row"),
        (long_predictions, "an array is larger than one number a test row"),
        (other_text, "does not match its hash"),
        (other_label, "does not match its hash"),
        (other_set, "its run key is not that of this set"),
        (surplus_set, "no row refers to it"),
        (fewer_runs, "4 of the 3 × 2 planned runs"),
        (smaller_plan, "planned with 2 × 2 runs, the protocol wants 3 × 2"),
        (two_plans, "its rows disagree about the planned sets and seeds"),
        (failed_run, "2 rows are not ok"),
        (edited(drop_revision), "the pinned data have ''"),
        (edited(drop_rows), "test_rows is 39, the pinned data have 40"),
        (edited(other_recipe), "its recipe is not that of the learner"),
        (swapped_runs, "its run key is not that of this set"),
        (other_budget, "has 8 rows, 4+4 by class, which is not the budget (exact)"),
        (fewer_copies, "copies is 0.5, its texts give 1"),
        (fewer_words, "set_words is 3, its texts give"),
        (more_variety, "distinct_2 is 0.1, its texts give"),
        (better_labels, "label_agreement is 0.999, its texts give"),
        (other_environment, "environments.json: not the environments that the rows name"),
        (other_statistics, "statistics.csv, line 5: not what the rows give"),
        (other_column, "its columns are not those of a leaderboard: note"),
        (other_type, "column score holds"),
        (bad_status, "status must be ok, failed, skipped, not 'great'"),
        (repeated_row, "two rows for one run"),
        (path_as_hash, "column set_hash holds '../../../../etc', which is no key"),
        (head_with(suite="../toy"), "is no name for a file"),
        (head_with(suite="other"), "rows of suite 'toy', but bundle.json says 'other'"),
        (head_with(format=2), "this version reads format 1"),
        (head_with(rows=3), "48 rows, but bundle.json says 3"),
        (head_with(more=1), "it holds exactly format, suite, rows, benchmark"),
        (deep_json, "nested too deeply"),
        (no_parquet, "cannot be read as Parquet"),
        (unknown_task, "task 'moon' is in no catalogue here"),
    ],
)
def test_a_forged_bundle_is_caught_by_its_own_message(bundle, judge, spoil, said) -> None:
    spoil(bundle)
    code, problems, out = judge(bundle)
    assert code == 1, out
    assert said in " ".join(problems), out


def test_a_test_row_in_a_set_is_a_problem(bundle, judge, world) -> None:
    table = pd.read_parquet(world.assets / "datasets/toy/mood/default/test.parquet")
    bundle.set_with(table.text[0].upper() + " !")
    _, problems, _ = judge(bundle)
    assert "1 test rows stand in its texts and not in the training pool" in str(problems)


class Trap:
    """Leaves a file behind if anyone unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("form", ["object array", "plain pickle"])
def test_nothing_is_unpickled(bundle, judge, tmp_path, form) -> None:
    sprung, path = tmp_path / "sprung", bundle.one("predictions/*.npz")
    with np.load(path) as arrays:
        key = arrays.files[0]
    trap = np.array([Trap(sprung)] * 40, dtype=object)
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(trap))
    else:
        buffer = io.BytesIO()
        np.save(buffer, trap, allow_pickle=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{key}.npy", buffer.getvalue())
    bundle.sign()
    code, problems, _ = judge(bundle)
    assert code == 1
    assert len(problems) == 1
    assert not sprung.exists()


def test_names_of_a_bundle_are_printed_as_one_clean_line(bundle, judge) -> None:
    bundle.change(lambda rows: rows.task == "mood", task="a\x1b[31m\nproblem: b\u202e")
    _, problems, out = judge(bundle)
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert not any(problem == "b" for problem in problems)
