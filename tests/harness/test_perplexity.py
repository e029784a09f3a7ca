"""A language model that the user names reads the sets: each once, by the book, and on the page."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_gpt import write_language_model  # noqa: E402
from toy_world import enter  # noqa: E402

from benchmark.core.assets import load_causal_lm, load_tokenizer  # noqa: E402
from benchmark.store import Store  # noqa: E402
from evaluators import perplexity  # noqa: E402
from evaluators.perplexity import PerplexityJudge  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt")
    write_language_model(folder)
    return folder


def by_the_book(folder, texts) -> float:
    """One text at a time, one token at a time."""
    tokenizer, model = load_tokenizer(folder), load_causal_lm(folder, "float32")
    logs = []
    for text in texts:
        ids = [tokenizer.eos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        for at in range(1, len(ids)):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids[:at]])).logits[0, -1]
            logs.append(float(logits.log_softmax(0)[ids[at]]))
    return math.exp(-np.mean(logs))


@pytest.mark.parametrize("at_once", [1, 40, 10_000])
def test_however_it_is_batched_it_is_the_perplexity_of_one_text_at_a_time(
    model, monkeypatch, at_once
) -> None:
    monkeypatch.setattr(perplexity, "BATCH_TOKENS", at_once)
    columns = {"first": ["the film", "", "a very warm and funny film"], "second": ["bad"] * 3}
    expected = by_the_book(model, [text for column in columns.values() for text in column])
    assert PerplexityJudge(model).perplexity(columns) == pytest.approx(expected, rel=1e-4)


def test_nothing_to_read_is_no_number_and_what_is_too_long_is_cut(model) -> None:
    judge = PerplexityJudge(model)
    assert math.isnan(judge.perplexity({"text": ["", ""]}))
    long = "film " * 500
    assert judge.perplexity({"text": [long]}) == judge.perplexity({"text": [long + "zebra"]})


def test_sets_are_read_once_and_the_page_names_the_model(
    world, model, tmp_path, cli, monkeypatch
) -> None:
    mine = world.copy(tmp_path / "world")
    folder = mine.assets / "models" / "toy" / "tiny-gpt"
    write_language_model(folder)
    for path in sorted(folder.iterdir()):
        enter(mine.assets / "models", path)
    mine.tasks.write_text(mine.tasks.read_text() + '\n[model.tiny-gpt]\nhub = "toy/tiny-gpt"\n')
    store = tmp_path / "s"
    flags = ["--suite", "toy", *mine.flags(store)]
    small = ["--tasks-only", "mood", "--dpc", "2", "--sets", "2", "--seeds", "1"]
    run = ["run", *flags, *small, "--methods", "random,full", "--learners", "tfidf-lr"]
    assert cli(*run).code == 0
    assert "perplexity" not in (store / "reports" / "toy.md").read_text()
    told = cli("leaderboard", *flags, "--perplexity", "tiny-gpt")
    assert told.code == 0, told.err
    page = (store / "reports" / "toy.md").read_text()
    assert "perplexity |" in page
    assert "Perplexity is that of a token under tiny-gpt" in page
    opened = Store(store)
    records = list(opened.sets().values())
    for record in records:
        if record.facts["rows"] == 4:
            texts = opened.load_set(record).columns["text"]
            assert record.facts["perplexity tiny-gpt"] == pytest.approx(
                by_the_book(folder, texts), rel=1e-4
            )
        else:
            assert "perplexity tiny-gpt" not in record.facts  # the whole pool
    opened.close()
    assert len(records) == 3

    def never(*_):
        raise AssertionError("read twice")

    monkeypatch.setattr(PerplexityJudge, "perplexity", never)
    assert cli("leaderboard", *flags, "--perplexity", "tiny-gpt", "--format", "csv").code == 0
    table = pd.read_csv(store / "reports" / "toy.csv").set_index("method")
    assert table.perplexity["random"] > 1
    assert np.isnan(table.perplexity["full"])


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        ("tiny-gtp", 2, "tiny-gtp"),
        ("tiny", 2, "--perplexity tiny is no causal language model"),
        ("gpt2", 3, "gpt2"),
    ],
)
def test_a_model_that_cannot_read_is_said_so(world, tmp_path, cli, model, code, words) -> None:
    store = tmp_path / "s"
    flags = ["--suite", "toy", *world.flags(store)]
    small = ["--tasks-only", "mood", "--dpc", "2", "--sets", "1", "--seeds", "1"]
    assert cli("run", *flags, *small, "--methods", "random", "--learners", "tfidf-lr").code == 0
    told = cli("leaderboard", *flags, "--perplexity", model)
    assert (told.code, words in told.message) == (code, True), told.err
