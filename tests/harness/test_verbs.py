"""The verbs beside `run`: list, show, plan, score, leaderboard, prepare."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from benchmark.core.assets import ModelSpec
from benchmark.core.library import Library, LibraryConfig
from benchmark.prepare import _copy_model, _models_of


def test_list_gives_json_of_every_kind(world, store, cli) -> None:
    expected = {
        "methods": {"random", "herding", "first", "full"},
        "learners": {"tfidf-lr", "tiny-bert", "coin"},
        "tasks": {"mood", "pair", "sst2"},
        "suites": {"toy", "glue"},
        "protocols": {"tiny", "standard", "quick"},
    }
    for kind, names in expected.items():
        told = cli("list", kind, "--json", *world.flags(store))
        assert told.code == 0
        assert names <= {line["name"] for line in json.loads(told.out)}
        plain = cli("list", kind, *world.flags(store))
        assert all(name in plain.out for name in names)
    tasks = json.loads(cli("list", "tasks", "--json", *world.flags(store)).out)
    mood = next(line for line in tasks if line["name"] == "mood")
    assert (mood["text"], mood["label"]) == (["text"], "label")
    suites = json.loads(cli("list", "suites", "--json", *world.flags(store)).out)
    demo = next(line for line in suites if line["name"] == "demo")
    assert demo["further_cells"] == ["random × minilm at DPC 5: 2 × 2;"]
    learners = {
        line["name"]: line
        for line in json.loads(cli("list", "learners", "--json", *world.flags(store)).out)
    }
    assert learners["tiny-bert"]["available"] == "yes"
    assert "google-bert/" in learners["bert-base"]["available"]
    assert "transformer" not in learners  # a kind without a model


def test_a_learner_whose_encoder_is_unknown_hides_no_other(world, store, cli) -> None:
    assert cli("list", "learners", *world.flags(store)).code == 0  # registers `tiny-probe`
    told = cli("list", "learners", "--json")  # without the file that defines its encoder
    assert told.code == 0, told.err
    available = {line["name"]: line["available"] for line in json.loads(told.out)}
    assert available["tiny-probe"] == "no: unknown encoder 'tiny'"
    assert available["tfidf-lr"] == "yes"


def test_list_and_show_sets(world, store, cli) -> None:
    sets = json.loads(cli("list", "sets", "--json", *world.flags(store)).out)
    assert len(sets) == 2 * 3 * 2 * 3  # tasks, methods, DPC, sets
    one = sets[0]
    shown = cli("show", one["key"][:12], *world.flags(store))
    assert shown.code == 0
    assert f"method: {one['method']}" in shown.out
    assert "content hash: " in shown.out
    rows = store / "sets" / one["key"][:2] / one["key"] / "rows.jsonl"
    first = json.loads(rows.read_text().splitlines()[0])
    assert first["label"] in shown.out
    for prefix, said in (("zzz", "no set"), ("", "more than one"), ("%", "more than one")):
        refused = cli("show", prefix, *world.flags(store))
        assert refused.code == 2
        assert said in refused.message


def test_plan_counts_and_writes_nothing(world, store, tmp_path, cli) -> None:
    fresh = cli("plan", "--suite", "toy", *world.flags(tmp_path / "none"))
    assert fresh.code == 0
    assert "24 cells of 3 sets x 2 seeds; to do: 36 sets, 108 trainings" in fresh.out
    dry = cli("run", "--suite", "toy", "--dry-run", *world.flags(tmp_path / "none"))
    free = re.compile(r"[\d.]+ [A-Z]?B are free")  # others write to the disk meanwhile
    assert free.search(fresh.out)
    assert free.sub("", dry.out) == free.sub("", fresh.out)
    assert not (tmp_path / "none" / "rows.sqlite").exists()
    done = cli("plan", "--suite", "toy", *world.flags(store))
    assert "to do: 0 sets, 0 trainings" in done.out
    more = cli("plan", "--suite", "toy", "--sets", "4", *world.flags(store))
    assert "to do: 12 sets, 36 trainings" in more.out
    assert "time, estimated from similar work in this store" in more.out


@pytest.mark.parametrize("form", ["index", "name", "soft", "parquet", "json", "one file"])
def test_score_takes_every_form(world, tmp_path, cli, form) -> None:
    texts = ["a bad film", "a poor story", "a good film", "a fine story"]
    labels: list = [0, 0, 1, 1]
    if form == "name":
        labels = ["bad", "bad", "good", "good"]
    if form == "soft":
        labels = [[0.9, 0.1], [1, 0], [0.2, 0.8], [0, 1]]
    field = "labels" if form == "soft" else "label"
    folder = tmp_path / "sets"
    folder.mkdir()
    rows = [{"text": text, field: label} for text, label in zip(texts, labels, strict=True)]
    if form == "parquet":
        pd.DataFrame(rows).to_parquet(folder / "a.parquet")
    else:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / ("a.json" if form == "json" else "a.jsonl")).write_text(lines)
    path = folder / "a.jsonl" if form == "one file" else folder
    flags = ["--learners", "tfidf-lr,tiny-bert", "--seeds", "2", *world.flags(tmp_path / "s")]
    told = cli("score", path, "--task", "mood", "--name", "mine", *flags)
    assert told.code == 0, told.err
    assert "mine on mood: 1 sets" in told.out
    assert told.out.count("one set") >= 2
    assert "tiny-bert" in told.out


def test_score_again_with_fewer_sets_shows_those(world, tmp_path, cli, rows_in) -> None:
    folder = tmp_path / "sets"
    folder.mkdir()
    for number in range(3):
        rows = [{"text": f"bad {number}", "label": 0}, {"text": f"good {number}", "label": 1}]
        (folder / f"{number}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--task", "mood", "--name", "mine", "--learners", "tfidf-lr"]
    flags += world.flags(tmp_path / "s")
    cli("score", folder, *flags)
    assert len(rows_in(tmp_path / "s", "submitted")) == 15
    (folder / "0.jsonl").unlink()
    told = cli("score", folder, *flags)
    assert told.code == 0
    assert len(rows_in(tmp_path / "s", "submitted")) == 10


def test_score_with_a_learner_that_cannot_be_had(world, tmp_path, cli) -> None:
    rows = [{"text": "bad", "label": 0}, {"text": "good", "label": 1}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--task", "mood", "--name", "mine", "--learners", "tfidf-lr,bert-base"]
    told = cli("score", tmp_path / "a.jsonl", *flags, *world.flags(tmp_path / "s"))
    assert told.code == 3
    assert "bert-base: model google-bert/bert-base-uncased: no models/" in told.out


def test_leaderboard_formats(world, store, tmp_path, cli) -> None:
    out = tmp_path / "out"
    for name, suffix in (("md", "md"), ("csv", "csv"), ("html", "html"), ("latex", "tex")):
        flags = ["--format", name, "--out", out, *world.flags(store)]
        told = cli("leaderboard", "--suite", "toy", *flags)
        assert told.code == 0
        assert (out / f"toy.{suffix}").read_text().strip()
    assert {path.name for path in out.iterdir()} == {"toy.md", "toy.csv", "toy.html", "toy.tex"}
    table = pd.read_csv(out / "toy.csv")
    assert len(table) == 24
    assert set(table.status) == {"ok"}
    assert set(table.metric) == {"accuracy", "macro_f1"}
    wrong = cli("leaderboard", "--suite", "toy", "--reference", "herdin", *world.flags(store))
    assert wrong.code == 2
    assert "Did you mean 'herding'?" in wrong.message
    none = cli("leaderboard", "--suite", "glue", *world.flags(store))
    assert none.code == 2
    assert "suite 'glue' has no rows" in none.message


def test_publish_then_check_then_drift(world, store, tmp_path, cli, monkeypatch) -> None:
    place = tmp_path / "project"
    place.mkdir()
    monkeypatch.chdir(place)
    flags = ["--suite", "toy", *world.flags(store)]
    for verb in ("--publish", "--check"):
        refused = cli("leaderboard", verb, *flags)
        assert refused.code == 2
        assert "works in the project's repository" in refused.message
    (place / "leaderboards").mkdir()
    assert cli("leaderboard", "--check", *flags).code == 2
    assert cli("leaderboard", "--publish", *flags).code == 0
    published = place / "leaderboards" / "published"
    assert (place / "leaderboards" / "results" / "toy.parquet").is_file()
    shutil.rmtree(store)  # the check reads the published rows alone
    assert cli("leaderboard", "--check", *flags).code == 0
    page = published / "toy.md"
    page.write_text(page.read_text().replace("herding", "hoarding", 1))
    drifted = cli("leaderboard", "--check", *flags)
    assert drifted.code == 1
    assert "hoarding" in drifted.out


def test_prepare_then_run_from_what_it_made(world, finished, tmp_path, cli, rows_in) -> None:
    target = tmp_path / "prepared"
    flags = world.flags(tmp_path / "s")
    told = cli("prepare", "--suite", "toy", "--to", target, *flags)
    assert told.code == 0, told.out
    manifests = [target / part / "manifest.json" for part in ("datasets", "models")]
    before = [path.read_text() for path in manifests]
    assert "toy/mood/default/train.parquet" in before[0]
    assert "toy/tiny-bert/model.safetensors" in before[1]
    again = cli("prepare", "--suite", "toy", "--to", target, *flags)
    assert again.code == 0
    assert [path.read_text() for path in manifests] == before
    places = ["--store", tmp_path / "s", "--assets", target, "--tasks", world.tasks, "--offline"]
    ran = cli("run", "--suite", "toy", "--learners", "tfidf-lr", *places)
    assert ran.code == 0, ran.err
    expected = rows_in(finished).query("learner == 'tfidf-lr'").reset_index(drop=True)
    pd.testing.assert_frame_equal(rows_in(tmp_path / "s"), expected)
    lacking = cli("prepare", "--suite", "gaps", "--to", tmp_path / "other", *flags)
    assert lacking.code == 3
    assert "not available: task nowhere" in lacking.out
    assert "not available: model bert-base" in lacking.out


def test_prepare_enters_what_a_user_put_there(world, finished, tmp_path, cli, rows_in) -> None:
    """One's own data and models: files in their places, and no manifest yet."""
    mine = tmp_path / "mine"
    shutil.copytree(world.assets, mine)
    for manifest in mine.glob("*/manifest.json"):
        manifest.unlink()
    places = ["--store", tmp_path / "s", "--assets", mine, "--tasks", world.tasks, "--offline"]
    refused = cli("run", "--suite", "toy", "--learners", "tfidf-lr", *places)
    assert refused.code == 2
    assert f"and --to {mine}" in refused.message
    told = cli("prepare", "--suite", "toy", "--to", mine, *places)
    assert told.code == 0
    assert "mood: train, 81 rows that were there, entered" in told.out
    ran = cli("run", "--suite", "toy", "--learners", "tfidf-lr", *places)
    assert ran.code == 0, ran.err
    expected = rows_in(finished).query("learner == 'tfidf-lr'").reset_index(drop=True)
    pd.testing.assert_frame_equal(rows_in(tmp_path / "s"), expected)

    table = mine / "datasets/toy/mood/default/test.parquet"
    pd.read_parquet(table).iloc[:-2].to_parquet(table, index=False)
    assert "sha256 differs" in cli("plan", "--suite", "toy", *places).message
    again = cli("prepare", "--suite", "toy", "--to", mine, *places)
    assert "mood: train is there" in again.out
    assert "rows that were there, entered" in again.out
    assert cli("plan", "--suite", "toy", *places).code == 0


def test_prepare_takes_no_file_for_a_pinned_one(world, tmp_path, cli) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(world.assets, mine)
    (mine / "datasets/manifest.json").unlink()
    pinned = tmp_path / "pinned.toml"
    text = world.tasks.read_text().replace("[task.mood]", "[task.mood]\nrevision = 'abc'")
    pinned.write_text(text)
    places = ["--store", tmp_path / "s", "--tasks", pinned, "--offline"]
    told = cli("prepare", "--suite", "toy", "--to", mine, *places)
    assert told.code == 3
    assert "not available: task mood" in told.out
    # Nor once it was entered while the task had no pin.
    unpinned = ["--store", tmp_path / "s", "--tasks", world.tasks, "--offline"]
    assert "mood: train" in cli("prepare", "--suite", "toy", "--to", mine, *unpinned).out
    again = cli("prepare", "--suite", "toy", "--to", mine, *places)
    assert "not available: task mood" in again.out
    assert "pair: train is there" in again.out


def test_prepare_copies_what_follows_a_transformer(tmp_path) -> None:
    """Without its modules a sentence-transformer's folder is a bare transformer, silently."""
    folder = tmp_path / "hub"
    names = ["config.json", "model.safetensors", "modules.json", "1_Pooling/config.json",
             "2_Dense/config.json", "2_Dense/model.safetensors"]  # fmt: skip
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "README.md").write_text("no part of the model")
    spec = ModelSpec("m", "me/m", revision="abc")
    catalogue = SimpleNamespace(model=lambda name: spec)
    library = SimpleNamespace(catalogue=catalogue, model_folder=lambda name: folder)
    target = tmp_path / "models"
    _copy_model(library, "m", target, print)
    there = [p.relative_to(target / "me/m").as_posix() for p in (target / "me/m").rglob("*.*")]
    assert sorted(there) == sorted(names)
    manifest = json.loads((target / "manifest.json").read_text())
    assert sorted(manifest) == sorted(f"me/m/{name}" for name in names)


def test_logits_are_kept_on_request(world, tmp_path, cli) -> None:
    flags = ["--methods", "random", "--learners", "tiny-bert", "--tasks-only", "mood"]
    told = cli("run", "--suite", "toy", *flags, "--keep-logits", *world.flags(tmp_path / "s"))
    assert told.code == 0
    assert len(list(Path(tmp_path / "s" / "logits").glob("*.npy"))) == 12


def test_prepare_gets_the_models_of_methods_and_of_a_panel(world, tmp_path) -> None:
    library = Library(LibraryConfig(tmp_path / "none", world.assets, True, (world.tasks,)))
    suite = library.catalogue.suite
    assert _models_of(library, suite("dilm"))[:2] == ["gpt2", "bert-base"]
    assert _models_of(library, suite("recipe-panel")) == ["minilm"]
