"""Sets that embarrass a learner, given to every learner through the command line."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_gpt import write_language_model  # noqa: E402
from toy_world import FILLER, WORDS, enter  # noqa: E402

N_CLASSES, DPC = 77, 5
LEARNERS = (
    "tfidf-lr", "tfidf-nb", "tfidf-svm", "tiny-probe", "tiny-bert", "tiny-bert@engine=padded",
    "tiny-bert@recipe=frozen", "tiny-cnn", "tiny-rnn", "tiny-lm",
)  # fmt: skip
MORE = f"""
[model.tiny-vectors]
hub = "toy/tiny-vectors"
files = ["vectors.npy", "words.parquet"]
[model.tiny-gpt]
hub = "toy/tiny-gpt"
[learner.tiny-cnn]
kind = "text-cnn"
model = "tiny-vectors"
epochs = 2
filters = 4
[learner.tiny-rnn]
kind = "text-rnn"
model = "tiny-vectors"
epochs = 2
hidden = 4
[learner.tiny-lm]
kind = "in-context"
model = "tiny-gpt"
max_context = 96
precision = "float32"
[task.intents]
dataset = "toy/intents"
text = ["text"]
label = "label"
classes = {[f"intent_{i}" for i in range(N_CLASSES)]}
[suite.intents]
tasks = ["intents"]
methods = ["random"]
learners = ["tfidf-lr"]
protocol = "tiny"
"""


@pytest.fixture(scope="module")
def wide_world(world, tmp_path_factory, table_writer):
    """The tiny world with word vectors, a language model and a task of 77 classes."""
    mine = world.copy(tmp_path_factory.mktemp("wide"))
    models_folder = mine.assets / "models"
    vectors = models_folder / "toy" / "tiny-vectors"
    vectors.mkdir(parents=True)
    known = [*FILLER, *(word for part in WORDS.values() for word in part)]
    rng = np.random.default_rng(0)
    np.save(vectors / "vectors.npy", rng.standard_normal((len(known), 8)).astype(np.float32))
    pd.DataFrame({"word": known}).to_parquet(vectors / "words.parquet")
    write_language_model(models_folder / "toy" / "tiny-gpt")
    for folder in (vectors, models_folder / "toy" / "tiny-gpt"):
        for path in sorted(folder.iterdir()):
            enter(models_folder, path)
    for split, each in (("train", DPC + 1), ("test", 1)):
        labels = np.repeat(np.arange(N_CLASSES), each)
        texts = [f"{' '.join(rng.choice(FILLER, 4))} word{label}" for label in labels]
        table_writer(
            mine.assets, "toy/intents", split, pd.DataFrame({"text": texts, "label": labels})
        )
    mine.tasks.write_text(mine.tasks.read_text() + MORE)
    return mine


SETS = {
    "one row": [("a bad film", 0)],
    "one class": [("a good film", 1), ("a fine story", 1), ("a warm plot", 1)],
    "5,000 words": [("the dull plot " * 1667, 0), ("a great cast " * 1667, 1)],
    "no known word": [("zzz qqq", 0), ("!!!", 1)],
    "one row, soft": [("a good film", [0.3, 0.7])],
}


@pytest.mark.parametrize("kind", SETS)
def test_every_learner_scores_it(wide_world, tmp_path, cli, rows_in, kind) -> None:
    lines = [json.dumps({"text": text, "label": label}) for text, label in SETS[kind]]
    (tmp_path / "set.jsonl").write_text("\n".join(lines))
    flags = ["--task", "mood", "--name", "mine", "--seeds", "2", "--learners", ",".join(LEARNERS)]
    told = cli("score", tmp_path / "set.jsonl", *flags, *wide_world.flags(tmp_path / "s"))
    assert told.code == 0, told.out + told.err
    rows = rows_in(tmp_path / "s", "submitted")
    assert len(rows) == 2 * len(LEARNERS)
    assert set(rows.status) == {"ok"}
    assert rows.score.between(0, 1).all()
    if kind in ("one row", "one class"):  # who learns one class predicts it, on half of the rows
        linear = rows[rows.learner.str.startswith("tfidf") | (rows.learner == "tiny-probe")]
        assert set(linear.score) == {0.5}


def test_77_classes_at_dpc_5(wide_world, tmp_path, cli, rows_in) -> None:
    flags = ["--suite", "intents", "--dpc", str(DPC), "--sets", "1", "--seeds", "2"]
    flags += ["--learners", ",".join(LEARNERS), *wide_world.flags(tmp_path)]
    told = cli("run", *flags)
    assert told.code == 0, told.out + told.err
    rows = rows_in(tmp_path, "intents")
    assert len(rows) == 2 * len(LEARNERS)
    assert set(rows.status) == {"ok"}
    assert set(rows.set_rows) == {N_CLASSES * DPC}
    # Each class has a word of its own: a TF-IDF learner knows them all.
    assert rows[rows.learner == "tfidf-svm"].score.min() > 0.9


def test_a_loss_that_becomes_nan_is_a_failed_row_and_the_others_go_on(
    wide_world, tmp_path, cli, rows_in
) -> None:
    wild = {
        "tiny-bert@learning_rate=1e30": "the loss became nan at step",
        "tiny-bert@engine=padded@learning_rate=1e30": "the loss became nan at step",
        "tiny-bert@recipe=frozen@learning_rate=1e38": "finite",
        "tiny-cnn@learning_rate=1e30": "finite",
    }
    flags = ["--suite", "toy", "--tasks-only", "mood", "--methods", "random", "--dpc", "2"]
    flags += ["--sets", "1", "--seeds", "2", "--learners", ",".join([*wild, "tiny-bert"])]
    told = cli("run", *flags, *wide_world.flags(tmp_path))
    assert told.code == 1
    # cells that failed alike share a line
    named = [line for line in told.out.splitlines() if line.startswith("FAILED: ")]
    rows = rows_in(tmp_path).set_index("learner")
    for learner, reason in wild.items():
        assert any(f" / {learner}" in line and reason in line for line in named)
        assert set(rows.loc[learner, "status"]) == {"failed"}
    assert set(rows.loc["tiny-bert", "status"]) == {"ok"}


def test_probabilities_that_do_not_sum_to_1_are_refused(wide_world, tmp_path, cli) -> None:
    rows = [{"text": "bad", "labels": [1, 0]}, {"text": "good", "labels": [0.5, 0.4]}]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    flags = ["--task", "mood", "--name", "mine", "--learners", ",".join(LEARNERS)]
    told = cli("score", path, *flags, *wide_world.flags(tmp_path / "s"))
    assert told.code == 2
    where = f"{path}, line 2, field 'labels'"
    assert f"{where}: the probabilities sum to 0.9, not to 1" in told.message
    assert not (tmp_path / "s" / "rows.sqlite").exists()


def test_the_panel_runs_as_four_learners(wide_world, tmp_path, cli, rows_in) -> None:
    flags = ["--suite", "toy", "--tasks-only", "mood", "--methods", "random", "--dpc", "2"]
    flags += ["--sets", "1", "--seeds", "2", *wide_world.flags(tmp_path)]
    told = cli("run", *flags, "--learners", "tiny-bert,tiny-bert@recipe=panel")
    assert told.code == 0, told.out
    rows = rows_in(tmp_path).set_index("learner")
    four = [f"tiny-bert@recipe={name}" for name in ("dilm", "short", "long", "frozen")]
    assert set(rows.index) == {"tiny-bert", *four}
    plain, named = (list(rows.loc[name, "accuracy"]) for name in ("tiny-bert", four[0]))
    assert plain == named
    refused = cli("run", *flags, "--learners", "tfidf-lr@recipe=panel")
    assert refused.code == 2
    assert "tfidf-lr has no recipes" in refused.message
