"""Heads on a frozen body: what the library computes with `requires_grad=False`, many at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.nn.functional import cross_entropy  # noqa: E402
from transformers import BertConfig, BertForPreTraining, BertModel  # noqa: E402

from benchmark.core.distilled import DistilledSet  # noqa: E402
from benchmark.core.finetune import frozen, heads  # noqa: E402
from benchmark.core.finetune.batches import training_batches  # noqa: E402
from benchmark.core.finetune.engine import PaddedEngine, decays  # noqa: E402
from benchmark.core.finetune.heads import Head  # noqa: E402
from benchmark.core.finetune.pretrained import held  # noqa: E402
from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.finetune.tokens import Padding, tokenise  # noqa: E402
from benchmark.core.learner import LEARNERS, Run, TestTexts  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng, numpy_generator, seed_of  # noqa: E402

FAMILIES = ("bert", "bert with a pooler", "roberta", "distilbert", "mpnet", "xlnet")
CLASSES = ("bad", "good")


@pytest.fixture(scope="session")
def with_pooler(checkpoints, tmp_path_factory, save_checkpoint):
    """A BERT whose checkpoint has a trained pooler, as published ones do."""
    folder = save_checkpoint("bert", tmp_path_factory.mktemp("pooled"))
    config = BertConfig.from_pretrained(folder)
    with isolated_torch_rng(3):
        model = BertForPreTraining(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def folder_of(checkpoints, with_pooler):
    return {**checkpoints, "bert with a pooler": with_pooler}


@pytest.fixture
def texts(sentences):
    rng = numpy_generator(1)
    return TestTexts({"text": sentences(23, rng)}, CLASSES, "t", lambda e: None, lambda e, s: None)


def learner(**params):
    given = {"model": "tiny", "recipe": "frozen", "steps": 40, **params}
    return LEARNERS.build("transformer", given)


def outcomes(runs, texts, folder, **params):
    return list(learner(**params).fit_predict(runs, texts, {"tiny": folder}))


def plain_frozen(pretrained, recipe, run, texts):
    """The library's model, its body frozen, trained as the recipe says; logits of the texts."""
    model, padding = pretrained.model, Padding.of(pretrained.tokenizer)
    names = pretrained.fresh
    with isolated_torch_rng(run.seed):
        pretrained.reset()
    pretrained.set_dropout(0.0)
    head = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name in names
        if name in names:
            head.append((name, parameter))
    groups = [
        {
            "params": [p for name, p in head if decays(name, p) is wanted],
            "weight_decay": recipe.weight_decay if wanted else 0.0,
        }
        for wanted in (True, False)
    ]
    optimiser = torch.optim.AdamW(groups, lr=0.0)
    tokens = tokenise(pretrained.tokenizer, run.distilled.columns, 64)
    labels = torch.from_numpy(np.array(run.distilled.labels))
    order = numpy_generator(seed_of("batch-order", seed=run.seed))
    n = len(tokens)
    try:
        for step, rows in enumerate(
            training_batches(n, recipe.rows_per_step(n), recipe.steps, order)
        ):
            inputs = padding.apply(tokens.take(rows))
            logits = model(**{k: torch.from_numpy(v) for k, v in inputs.items()}).logits
            optimiser.zero_grad()
            cross_entropy(logits, labels[rows]).backward()
            torch.nn.utils.clip_grad_norm_([p for _, p in head], recipe.clip)
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate(step)
            optimiser.step()
        engine = PaddedEngine(pretrained, torch.device("cpu"))
        engine.recipe = recipe
        return engine.predict(tokenise(pretrained.tokenizer, texts.columns, 64))
    finally:
        for parameter in model.parameters():
            parameter.requires_grad = True


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("soft", [False, True])
def test_a_head_is_what_the_frozen_library_model_learns(folder_of, texts, set_of, family, soft):
    folder = folder_of[family]
    recipe = {"learning_rate": 0.1, "batch_size": 4, "clip": 0.2, "weight_decay": 0.1}
    one = learner(precision="float32", dropout=0.0, steps=10, **recipe)
    run = Run(unlike(set_of(0, n=6, soft=soft)), 5)
    expected = plain_frozen(held(folder, 2), one.training(6), run, texts)
    neighbours = [run, Run(set_of(1, n=6), 6), Run(set_of(2, n=3), 7)]
    found = list(one.fit_predict(neighbours, texts, {"tiny": folder}))
    with isolated_torch_rng(5):
        held(folder, 2).reset()
    untrained = frozen_start(held(folder, 2), one, run, texts)
    assert np.abs(expected - untrained).max() > 0.05  # it did learn
    np.testing.assert_allclose(found[0].scores, expected, atol=1e-4, rtol=0)


def unlike(distilled):
    """A set of one class but for a row: Adam then has gradients, not rounding, to follow."""
    if distilled.is_soft:
        return distilled
    return DistilledSet.of_texts(distilled.columns, [0, 0, 0, 1, 0, 0], CLASSES)


def frozen_start(pretrained, one, run, texts):
    """Logits before the first step."""
    recipe = replace(one.training(6), steps=1, learning_rate=0.0)
    return plain_frozen(pretrained, recipe, run, texts)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_does_not_depend_on_its_neighbours(folder_of, texts, set_of, family):
    folder = folder_of[family]
    runs = [Run(set_of(i % 3, n=(6, 6, 5)[i % 3], soft=i % 3 == 1), i) for i in range(9)]
    torch.manual_seed(1)
    together = outcomes(runs, texts, folder)
    assert all(outcome.error is None for outcome in together)
    for run, outcome in zip(runs, together, strict=True):
        torch.manual_seed(2)
        before = torch.get_rng_state()
        (alone,) = outcomes([run], texts, folder)
        assert torch.equal(before, torch.get_rng_state())
        np.testing.assert_allclose(alone.scores, outcome.scores, atol=1e-5, rtol=0)
    assert not np.allclose(together[0].scores, together[3].scores, atol=1e-3)  # another seed


def test_which_layers_train(folder_of):
    assert set(Head.of(held(folder_of["bert"], 2)).layers) == {"dense", "classifier"}
    pooled = held(folder_of["bert with a pooler"], 2)
    assert pooled.fresh == {"classifier.weight", "classifier.bias"}
    head = Head.of(pooled)
    assert set(head.layers) == {"classifier"}
    assert head.pooler is pooled.model.bert.pooler.dense
    assert Head.of(held(folder_of["xlnet"], 2)).place == -1


def test_each_text_is_encoded_once_for_all_runs(folder_of, texts, set_of, monkeypatch):
    encoded = []
    encode = frozen.encode
    monkeypatch.setattr(
        frozen, "encode", lambda p, t, k: encoded.extend(map(len, t)) or encode(p, t, k)
    )
    runs = [Run(set_of(i), seed) for i in range(2) for seed in range(3)]
    outcomes(runs, texts, folder_of["bert"])
    outcomes(runs[:1], texts, folder_of["bert"])
    assert sorted(encoded) == [6, 6, 6, 23]


def test_features_are_those_of_pretrained_weights(folder_of, texts, set_of):
    run = Run(set_of(0), 1)
    (expected,) = outcomes([run], texts, folder_of["bert"])
    tuned = LEARNERS.build("transformer", {"model": "tiny", "steps": 5, "learning_rate": 0.1})
    list(tuned.fit_predict([run], texts, {"tiny": folder_of["bert"]}))
    held(folder_of["bert"], 2).set_dropout(0.5)
    held(folder_of["bert"], 2).model.train()
    fresh = replace(texts, scratch={})
    (again,) = outcomes([run], fresh, folder_of["bert"])
    np.testing.assert_array_equal(again.scores, expected.scores)


def test_dropout_drops_the_right_share_in_a_stream_of_the_run(folder_of, texts, set_of):
    drop = heads._Dropout(Recipe(dropout=0.25), 50, [40, 80], 3)
    drawn = [drop.masks(step) for step in range(20)]
    again = heads._Dropout(Recipe(dropout=0.25), 50, [40, 80], 3)
    for masks, other in zip(drawn, (again.masks(step) for step in range(20)), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(masks, other, strict=True))
    assert not torch.equal(drawn[0][0], drawn[1][0])
    other_run = heads._Dropout(Recipe(dropout=0.25), 50, [40, 80], 4)
    assert not torch.equal(drawn[0][0], other_run.masks(0)[0])
    every = torch.cat([mask.flatten() for masks in drawn for mask in masks])
    assert sorted(every.unique().tolist()) == pytest.approx([0.0, 1 / 0.75])
    assert float((every == 0).float().mean()) == pytest.approx(0.25, abs=0.005)
    assert heads._Dropout(Recipe(dropout=0.0), 50, [40], 3).masks(0) == []
    run = Run(set_of(0), 1)
    with_dropout, without = (
        outcomes([run], texts, folder_of["bert"], dropout=p)[0].scores for p in (0.5, 0.0)
    )
    assert not np.array_equal(with_dropout, without)


def test_a_run_that_leaves_the_finite_numbers_fails_alone(folder_of, texts, sentences, set_of):
    infinite = DistilledSet.of_texts(
        {"text": sentences(6, numpy_generator(0))},
        np.array([[np.inf, 1.0]] * 6),
        CLASSES,
        recipe={"label_type": "unrestricted"},
    )
    runs = [Run(set_of(0), 1), Run(infinite, 1), Run(set_of(1), 2)]
    first, failed, last = outcomes(runs, texts, folder_of["bert"])
    assert failed.scores is None
    assert "loss left the finite numbers at step 1 of 40" in failed.error
    for run, outcome in ((runs[0], first), (runs[2], last)):
        (alone,) = outcomes([run], texts, folder_of["bert"])
        np.testing.assert_allclose(alone.scores, outcome.scores, atol=1e-5, rtol=0)
    (huge,) = outcomes(runs[:1], texts, folder_of["bert"], learning_rate=1e38, warmup=0.0)
    assert "finite" in huge.error


def test_a_checkpoint_without_a_whole_body_is_refused(folder_of, texts, set_of, tmp_path):
    folder = tmp_path / "partial"
    tokenizer = held(folder_of["bert"], 2).tokenizer
    config = BertConfig.from_pretrained(folder_of["bert"])
    state = BertModel(config).state_dict()
    kept = {name: value for name, value in state.items() if "layer.1.output.dense" not in name}
    BertModel(config).save_pretrained(folder, state_dict=kept)
    tokenizer.save_pretrained(folder)
    with pytest.raises(Exception, match=r"lacks bert\.encoder\.layer\.1\.output\.dense"):
        outcomes([Run(set_of(0), 1)], texts, folder)
