"""A T5 that names classes: scores by their definition, nothing leaks, LoRA trains what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.core.assets import load_seq2seq, load_tokenizer, quiet_transformers
from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import InputError
from benchmark.core.learner import LEARNERS, Run, TestTexts
from benchmark.core.seeding import isolated_torch_rng
from evaluators.text_to_text import training
from evaluators.text_to_text.training import Namer, adapted, class_scores

CLASSES = ("bad film", "good")
WORDS = ["good", "great", "bad", "poor", "film", "the", "a", "was"]
SET = DistilledSet.of_texts(
    {"text": ["the film was good", "great film", "a poor film", "bad"]}, [1, 1, 0, 0], CLASSES
)
TEST = {"text": ["good film", "the bad film was poor", "great", "a", "was the film bad"]}


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    training._held.cache_clear()


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    """Folder of a T5 of one layer whose tokenizer ends every row, as T5's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", ":", "one", *WORDS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    config = T5Config(
        vocab_size=len(vocabulary),
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    with isolated_torch_rng(1), quiet_transformers():
        T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def given(columns=TEST):
    return TestTexts(columns, CLASSES, "t", lambda e: None, lambda e, s: None)


def build(**params):
    return LEARNERS.build("text-to-text", {"model": "t5", "learning_rate": 5e-3, **params})


def outcomes(learner, folder, runs, columns=TEST):
    return list(learner.fit_predict(runs, given(columns), {"t5": folder}))


def test_a_score_is_the_probability_of_the_whole_name(t5, monkeypatch):
    model, tokenizer = load_seq2seq(t5), load_tokenizer(t5)
    namer = Namer.load(t5, ("bad_film", "good"), 128)
    assert [len(name) for name in namer.names] == [3, 2]
    texts = namer.read(TEST)
    expected = np.empty((5, 2))
    for i, text in enumerate(TEST["text"]):
        for c, name in enumerate(("bad film", "good")):
            batch = tokenizer([text], return_tensors="pt")
            labels = tokenizer([name], return_tensors="pt")["input_ids"]
            with torch.no_grad():
                loss = model(input_ids=batch["input_ids"], labels=labels).loss
            expected[i, c] = -loss * labels.shape[1]
    np.testing.assert_allclose(class_scores(namer.model, namer, texts), expected, rtol=1e-4)
    monkeypatch.setattr(training, "TOKENS_PER_BATCH", 1)
    np.testing.assert_allclose(class_scores(namer.model, namer, texts), expected, rtol=1e-4)


@pytest.mark.parametrize("rank", [0, 4])
def test_it_learns_its_set_and_runs_do_not_leak(t5, rank):
    learner = build(epochs=40, lora_rank=rank, learning_rate=1e-2 if rank == 0 else 5e-2)
    runs = [Run(SET, 1), Run(SET, 2), Run(SET, 1)]
    first, second, again = outcomes(learner, t5, runs, SET.columns)
    assert first.scores.argmax(1).tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(first.scores, again.scores)
    assert not np.array_equal(first.scores, second.scores)
    assert first.train_seconds > 0
    share = first.extra["trained_share"]
    assert share == 1 if rank == 0 else 0 < share < 0.5


def test_lora_leaves_the_pretrained_weights(t5):
    plain = load_seq2seq(t5)
    with isolated_torch_rng(0):
        made = adapted(load_seq2seq(t5), 4)
    trained = [name for name, p in made.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name and (".q." in name or ".v." in name) for name in trained)
    namer = Namer.load(t5, CLASSES, 128)
    texts = namer.read(TEST)
    # the update is zero before it is trained
    np.testing.assert_allclose(
        class_scores(made.eval(), namer, texts), class_scores(plain, namer, texts), atol=1e-5
    )


def test_global_generators_and_the_held_model_are_left_alone(t5):
    before = torch.get_rng_state()
    namer = Namer.load(t5, CLASSES, 128)
    weights = [p.clone() for p in namer.model.parameters()]
    outcomes(build(epochs=2), t5, [Run(SET, 1)])
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(weights, namer.model.parameters(), strict=True))


def test_soft_labels_are_weights(t5):
    hard = DistilledSet.of_texts(SET.columns, SET.labels, CLASSES)
    one_hot = np.eye(2, dtype=np.float32)[SET.labels]
    sharp = DistilledSet.of_texts(SET.columns, one_hot, CLASSES)
    blurred = DistilledSet.of_texts(SET.columns, 0.3 + 0.4 * one_hot, CLASSES)
    learner = build(epochs=3)
    a, b, c = (outcomes(learner, t5, [Run(made, 1)])[0].scores for made in (hard, sharp, blurred))
    np.testing.assert_allclose(a, b, rtol=1e-5)
    assert not np.allclose(a, c, rtol=1e-3)


def test_pairs_name_their_columns(t5):
    namer = Namer.load(t5, CLASSES, 128)
    (row,) = namer.read({"one": ["good"], "the": ["bad film"]})
    assert namer.tokenizer.decode(row, skip_special_tokens=True) == "one : good the : bad film"
    (cut,) = Namer.load(t5, CLASSES, 4).read({"text": ["good film was the film"]})
    assert len(cut) == 4
    assert cut[-1] == 1


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (9, 1, "one : good good good good the : bad </s>"),
        (1, 9, "one : good the : bad bad bad bad </s>"),
        (9, 9, "one : good good the : bad bad bad </s>"),
        (2, 3, "one : good good the : bad bad bad </s>"),
    ],
)
def test_of_a_pair_that_is_too_long_the_longer_text_is_cut(t5, first, second, expected):
    namer = Namer.load(t5, CLASSES, 10)
    (row,) = namer.read({"one": ["good " * first], "the": ["bad " * second]})
    assert namer.tokenizer.decode(row) == expected


def test_the_picked_rate_holds_for_a_set_of_any_size(t5):
    runs, common = [Run(SET, 1)], {"epochs": 2}
    (found,) = outcomes(build(rates=(1e-2, 5e-3), full_threshold=3, **common), t5, runs)
    rate = found.extra["learning_rate"]
    (plain,) = outcomes(build(learning_rate=rate, **common), t5, runs)
    np.testing.assert_array_equal(found.scores, plain.scores)


def test_a_run_that_diverges_fails_alone(t5):
    found = outcomes(build(learning_rate=1e30, epochs=20), t5, [Run(SET, 1)])[0]
    assert found.scores is None
    assert "finite" in found.error


def test_recipes():
    learner = build()
    recipe = learner.training(40)
    assert recipe.steps == 20 * 5
    assert recipe.rate(0) == 5e-3
    assert recipe.rate(50) == pytest.approx(2.5e-3)
    assert learner.training(2001).steps == 3 * 250
    with pytest.raises(InputError, match="lora_rank is -1"):
        build(lora_rank=-1)
