"""Bad input: one clear message, the documented exit code, no traceback, nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

RUN = ["run", "--suite", "toy"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run", "--suite", "toi"], "unknown suite 'toi'. Did you mean 'toy'?"),
        (["plan", "--suite", "toi"], "unknown suite 'toi'. Did you mean 'toy'?"),
        ([*RUN, "--methods", "hearding"], "unknown method 'hearding'. Did you mean 'herding'?"),
        ([*RUN, "--learners", "tfidf-lg"], "unknown learner 'tfidf-lg'. Did you mean 'tfidf-lr'"),
        ([*RUN, "--learners", "tiny-bert@step=3"], "no parameter 'step'. Did you mean 'steps'?"),
        ([*RUN, "--tasks-only", "moot"], "has no task 'moot'. Did you mean 'mood'?"),
        ([*RUN, "--protocol", "standart"], "protocol 'standart'. Did you mean 'standard'?"),
        ([*RUN, "--methods", "random,random"], "a name stands there twice"),
        ([*RUN, "--methods", "random,,full"], "write names with a comma between them"),
        ([*RUN, "--dpc", "2,x"], "--dpc '2,x': whole numbers with a comma between them"),
        ([*RUN, "--dpc", "0"], "--dpc 0: a number of 1 or more is needed"),
        ([*RUN, "--dpc", "2", "--ratio", "0.1"], "--dpc and --ratio exclude each other"),
        ([*RUN, "--ratio", "1.5"], "--ratio 1.5: a share of the training rows lies in (0, 1]"),
        ([*RUN, "--ratio", "nan"], "--ratio nan"),
        ([*RUN, "--sets", "0"], "--sets 0: a number of 1 or more is needed"),
        ([*RUN, "--seeds", "-1"], "--seeds -1: a number of 1 or more is needed"),
        ([*RUN, "--deterministic", "never"], "'never' is neither resample nor once"),
        ([*RUN, "--set", "herding.encoder"], "write it as method.param=value"),
        ([*RUN, "--set", "herding.encodr=x"], "no parameter 'encodr'. Did you mean 'encoder'?"),
        ([*RUN, "--methods", "random", "--set", "herdin.encoder=x"], "unknown method 'herdin'"),
        ([*RUN, "--set", "herding.encoder=tyny"], "unknown encoder 'tyny'. Did you mean 'tiny'?"),
        (
            [*RUN, "--methods", "random", "--set", "submodular.encoder=tyny"],
            "unknown encoder 'tyny'. Did you mean 'tiny'?",
        ),
        ([*RUN, "--executor", "rai"], "unknown executor 'rai'. Known: local, ray"),
        ([*RUN, "--workers", "0"], "--workers 0"),
        ([*RUN, "--timeout", "0"], "--timeout 0.0: a number above 0 is needed"),
        ([*RUN, "--memory", "-1"], "--memory -1.0: a number above 0 is needed"),
        ([*RUN, "--assets", "no-such-place"], "--assets no-such-place: there is no such directory"),
        ([*RUN, "--tasks", "no-such.toml"], "no-such.toml: cannot be read"),
        ([*RUN, "--config", "no-such.toml"], "no-such.toml: cannot be read"),
        ([*RUN, "--dpc", "41"], "class 'bad' has 40 training examples, fewer than DPC 41"),
        ([*RUN, "--dpc", "33", "--methods", "herding"], "(32 in a resampled pool), fewer than"),
        (
            [*RUN, "--dpc", "41", "--methods", "eda", "--set", "eda.synonyms=none"],
            "fewer than DPC 41, which 'eda' would draw",
        ),
        ([*RUN, "--dpc", "41", "--methods", "dallme-cpu"], "which 'dallme-cpu' would draw"),
        ([*RUN, "--methods", "eda", "--set", "eda.synonyms=tiny"], "'tiny' is a transformer"),
        (["plan", "--suite", "toy", "--why", "mood/random"], "write it as TASK/METHOD/DPC/LEARNER"),
        (["plan", "--suite", "toy", "--why", "mood/random/2/tfidf-lg"], "no such cell"),
        (["leaderboard", "--suite", "toy"], "there is no store here yet"),
        (["leaderboard", "--suite", "../toy"], "is no name of a suite"),
        (["leaderboard", "--suite", "toy", "--format", "cvs"], "Did you mean 'csv'?"),
        (["leaderboard", "--suite", "toy", "--check", "--publish"], "exclude each other"),
        (["show", "abc"], "there is no store here yet"),
        (["list", "sets"], "there is no store here yet"),
        (["track"], "track: give --sync"),
        (["track", "--sync"], "there is no store here yet"),
        (["score", "no-such", "--task", "mood", "--name", "x"], "no such file or directory"),
        (["score", ".", "--task", "moot", "--name", "x"], "task 'moot'. Did you mean 'mood'"),
        (["score", ".", "--task", "mood", "--name", " "], "a printable name"),
        (["prepare", "--suite", "toi", "--to", "x"], "unknown suite 'toi'. Did you mean 'toy'?"),
    ],
)  # fmt: skip
def test_names_and_values(world, tmp_path, cli, monkeypatch, args, said) -> None:
    monkeypatch.chdir(tmp_path)
    flags = world.flags(tmp_path / "store")
    # The last one of a flag counts.
    told = cli(args[0], *flags, *args[1:]) if "--assets" in args else cli(*args, *flags)
    assert told.code == 2
    assert said in told.message
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("verb", [["run"], ["plan"], ["leaderboard"], ["list", "sets"]])
def test_a_file_as_store(world, tmp_path, cli, verb) -> None:
    (tmp_path / "store").write_text("mine")
    suite = [] if verb[0] == "list" else ["--suite", "toy"]
    told = cli(*verb, *suite, *world.flags(tmp_path / "store"))
    assert told.code == 2
    assert "this is a file, not a directory" in told.message
    assert (tmp_path / "store").read_text() == "mine"


@pytest.mark.parametrize(
    "args",
    [
        ["--workers", "many"], ["--sets", "1.5"], ["--no-such-flag"], ["--suite"],
        ["--timeout", "soon"],
    ],
)  # fmt: skip
def test_what_the_parser_refuses(world, tmp_path, cli, args) -> None:
    told = cli("run", "--suite", "toy", *world.flags(tmp_path / "store"), *args)
    assert told.code == 2
    assert "Traceback" not in told.err
    assert args[0] in told.err
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "methods = ['random']\nseeeds = 2\n",
            "line 2: unknown key 'seeeds'. Did you mean 'seeds'",
        ),
        ("\nsets = 'two'\n", "line 2: sets = 'two' is not usable"),
        ("dpc = [2, 'x']\n", "whole numbers"),
        ("sets = \n", "not valid TOML"),
        ("[set]\n'herding.encodr' = 'x'\n", "Did you mean 'encoder'?"),
        ("protocol = 'standart'\n", "Did you mean 'standard'?"),
        ("sets = 0\n", "--sets 0"),
    ],
)
def test_a_config_file(world, tmp_path, cli, text, said) -> None:
    (tmp_path / "flags.toml").write_text(text)
    told = cli(*RUN, "--config", tmp_path / "flags.toml", *world.flags(tmp_path / "store"))
    assert told.code == 2
    assert said in told.message
    assert not (tmp_path / "store").exists()


def test_a_flag_outranks_the_config_file(world, tmp_path, cli) -> None:
    (tmp_path / "flags.toml").write_text(
        "methods = 'random'\nlearners = ['coin']\ntasks-only = 'mood'\ndpc = 2\nsets = 2\nseeds = 9"
    )
    flags = ["--config", tmp_path / "flags.toml", *world.flags(tmp_path / "s")]
    told = cli("plan", "--suite", "toy", *flags, "--seeds", "3")
    assert "1 cells of 2 sets x 3 seeds; to do: 2 sets, 6 trainings" in told.out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('hub = "toy/tiny-bert"', 'hubb = "toy/tiny-bert"', "line 3: [model.tiny]: unknown key"),
        ('dataset = "toy/mood"\n', "", "[task.mood]: the key 'dataset' is missing"),
        ('metric = "macro_f1"', 'metric = "makro_f1"', "Did you mean 'macro_f1'?"),
        ('"pair"]', '"paire"]', "[suite.toy]: unknown task 'paire'. Did you mean 'pair'?"),
        ("steps = 4", "stepz = 4", "line 11: [learner.tiny-bert]: tiny-bert"),
        ("steps = 4", 'steps = "many"', "line 11: [learner.tiny-bert]: tiny-bert"),
        ('kind = "probe"', 'kind = "prob"', "Did you mean 'probe'?"),
        ('kind = "probe"\n', "", "[learner.tiny-probe]: the key 'kind' is missing"),
        ("[task.mood]", "[tusk.mood]", "Did you mean 'task'?"),
        ("[task.mood]", "[task.sst2]", "task 'sst2' is defined already"),
        ("sets = 3", "sets = 'x'", "[protocol.tiny]: sets: 'x' is no whole number"),
    ],
)
def test_a_tasks_file(world, tmp_path, cli, old, new, said) -> None:
    mine = world.copy(tmp_path / "mine")
    mine.edit(old, new)
    told = cli(*RUN, *mine.flags(tmp_path / "store"))
    assert told.code == 2
    assert "tasks.toml, line " in told.message
    assert said in told.message
    assert not (tmp_path / "store").exists()


def test_an_assets_file_that_differs_from_its_manifest(world, tmp_path, cli) -> None:
    for part in ("datasets/toy/mood/default/test.parquet", "models/toy/tiny-bert/config.json"):
        mine = world.copy(tmp_path / part[:6])
        path = mine.assets / part
        path.write_bytes(path.read_bytes() + b"\n")
        told = cli(*RUN, *mine.flags(tmp_path / "store"))
        assert told.code == 2
        assert Path(part).name in told.message
        assert "sha256 differs" in told.message


def test_data_that_does_not_fit_its_task(world, tmp_path, cli, table_writer) -> None:
    mine = world.copy(tmp_path / "mine")
    labels = np.arange(40) % 2
    texts = [f"a story {i}" for i in range(40)]
    for table, said in (
        (pd.DataFrame({"text": texts, "label": labels * 0}), "no training example of class 'good'"),
        (pd.DataFrame({"text": texts, "label": labels * 2}), "row 1, column 'label': label 2 is"),
        (pd.DataFrame({"txt": texts, "label": labels}), "no column 'text'. Did you mean 'txt'?"),
    ):
        table_writer(mine.assets, "toy/mood", "train", table)
        told = cli(*RUN, *mine.flags(tmp_path / "store"))
        assert told.code == 2
        assert said in told.message


GOOD = {"text": "a fine film", "label": 1}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([GOOD, {"label": 1}], "set.jsonl, line 2: the field 'text' is missing"),
        ([GOOD, {"text": "x"}], "line 2: the field 'label' is missing"),
        ([GOOD, {"text": "x", "label": 2}], "line 2, field 'label': class index 2 is not in 0 to"),
        ([GOOD, {"text": "x", "label": -1}], "line 2, field 'label': class index -1"),
        ([{"text": "x", "label": "goood"}], "unknown class 'goood'. Did you mean 'good'?"),
        ([{"text": "x", "label": True}], "line 1, field 'label'"),
        ([{"text": "x", "label": None}], "line 1, field 'label'"),
        ([{"text": "x", "label": [0.5, 0.6]}], "the probabilities sum to 1.1, not to 1"),
        ([{"text": "x", "label": [1.0]}], "1 probabilities for 2 classes"),
        ([{"text": " ", "label": 1}], "line 1, field 'text': ' ' is no text or a blank one"),
        ([{"text": 3, "label": 1}], "line 1, field 'text'"),
        ([GOOD, {"text": "x", "label": [0.5, 0.5]}], "hard and soft labels are mixed"),
        ([{"text": "x", "label": 10**400}], "line 1, field 'label'"),
        ([[1, 2]], "line 1: a JSON object is needed"),
        ([], "no row in it"),
    ],
)
def test_score_rows(world, tmp_path, cli, rows, said) -> None:
    (tmp_path / "sets").mkdir()
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "sets" / "set.jsonl").write_text("\n".join(lines))
    flags = ["--task", "mood", "--name", "mine", *world.flags(tmp_path / "store")]
    told = cli("score", tmp_path / "sets", *flags)
    assert told.code == 2
    assert said in told.message
    assert not (tmp_path / "store").exists()


def test_a_score_directory_without_sets(world, tmp_path, cli) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "notes.txt").write_text("hello")
    flags = ["--task", "mood", "--name", "mine", *world.flags(tmp_path / "store")]
    told = cli("score", tmp_path / "sets", *flags)
    assert told.code == 2
    assert "no set in it" in told.message
    assert not (tmp_path / "store").exists()
