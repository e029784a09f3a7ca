"""The fine-tuned learner: nothing leaks between runs, padding changes nothing, NaN stays alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmark.core import assets  # noqa: E402
from benchmark.core.distilled import DistilledSet  # noqa: E402
from benchmark.core.finetune import pretrained as pretrained_module  # noqa: E402
from benchmark.core.finetune.batches import evaluation_batches, training_batches  # noqa: E402
from benchmark.core.finetune.engine import PaddedEngine  # noqa: E402
from benchmark.core.finetune.pretrained import held  # noqa: E402
from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.finetune.tokens import tokenise  # noqa: E402
from benchmark.core.learner import LEARNERS, Run, TestTexts  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng, numpy_generator  # noqa: E402
from evaluators.learners.transformer import Transformer  # noqa: E402

CLASSES = ("bad", "good")
FAMILIES = ("bert", "roberta", "distilbert", "mpnet", "xlnet")
CPU = torch.device("cpu")


@pytest.fixture
def texts(sentences):
    rng = numpy_generator(1)
    return TestTexts({"text": sentences(23, rng)}, CLASSES, "t", lambda e: None, lambda e, s: None)


def outcomes(learner, runs, texts, folder):
    return list(learner.fit_predict(runs, texts, {"tiny": folder}))


def tiny(**params) -> Transformer:
    return LEARNERS.build("transformer", {"model": "tiny", "steps": 6, **params})


def test_the_schedule_is_linear_then_cosine():
    recipe = Recipe()
    assert recipe.rate(0) == 0
    assert recipe.rate(50) == pytest.approx(0.5e-4)
    assert recipe.rate(100) == pytest.approx(1e-4)
    assert recipe.rate(150) == pytest.approx(0.5e-4)
    assert recipe.rate(199) == pytest.approx(0.5e-4 * (1 + math.cos(math.pi * 0.99)))
    transformers = pytest.importorskip("transformers")
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight], lr=1e-4)
    schedule = transformers.get_cosine_schedule_with_warmup(optimiser, 100, 200)
    for step in range(200):
        assert recipe.rate(step) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-12)
        optimiser.step()
        schedule.step()


def test_large_sets_train_for_epochs():
    recipe = tiny(steps=200).training(2001)
    assert (recipe.steps, recipe.learning_rate) == (3 * 31, 2e-5)
    assert tiny(steps=200).training(2000).steps == 200


def test_batches_are_shuffled_and_the_short_one_is_dropped():
    batches = list(training_batches(10, 4, 5, numpy_generator(0)))
    assert [len(b) for b in batches] == [4] * 5
    epoch = np.concatenate(batches[:2])
    assert len(set(epoch)) == 8
    assert not np.array_equal(epoch, np.concatenate(batches[2:4]))
    assert [len(b) for b in training_batches(3, 3, 2, numpy_generator(0))] == [3, 3]


def test_evaluation_batches_cover_every_row_within_the_budget():
    lengths = numpy_generator(0).integers(1, 90, 200)
    batches = list(evaluation_batches(lengths, 256))
    assert sorted(np.concatenate(batches)) == list(range(200))
    assert all(len(b) * lengths[b].max() <= 256 or len(b) == 1 for b in batches)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("columns", [("a",), ("a", "b")])
def test_padding_does_not_change_logits(checkpoints, family, columns, sentences):
    pretrained = held(checkpoints[family], 2)
    examples = tokenise(
        pretrained.tokenizer,
        {c: sentences(9, numpy_generator(i)) for i, c in enumerate(columns)},
        64,
    )
    engine = PaddedEngine(pretrained, CPU)
    with isolated_torch_rng(3):
        engine.begin(Recipe(precision="float32"), examples)
    together = engine.logits(examples)
    alone = torch.cat([engine.logits(examples.take(np.array([row]))) for row in range(9)])
    assert len(set(examples.lengths)) > 3
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.from_numpy(engine.predict(examples)), alone, atol=1e-5, rtol=0)


def test_ragged_tokens_are_the_tokenizers_own(checkpoints, sentences):
    tokenizer = held(checkpoints["bert"], 2).tokenizer
    columns = {"a": sentences(7, numpy_generator(0)), "b": sentences(7, numpy_generator(1))}
    ragged = tokenise(tokenizer, columns, 16)
    expected = tokenizer(*map(list, columns.values()), truncation=True, max_length=16)
    rows = np.array([6, 2, 2])
    for ids, types, row in zip(
        np.split(ragged.take(rows).ids, ragged.take(rows).offsets[1:-1]),
        np.split(ragged.take(rows).types, ragged.take(rows).offsets[1:-1]),
        rows,
        strict=True,
    ):
        assert ids.tolist() == expected["input_ids"][row]
        assert types.tolist() == expected["token_type_ids"][row]


@pytest.mark.parametrize("family", FAMILIES)
def test_two_resets_give_equal_weights(checkpoints, family, texts, set_of):
    pretrained = held(checkpoints[family], 2)

    def reset_weights(seed):
        with isolated_torch_rng(seed):
            pretrained.reset()
        return {name: p.detach().clone() for name, p in pretrained.model.named_parameters()}

    first = reset_weights(5)
    assert all(
        o.error is None for o in outcomes(tiny(), [Run(set_of(0), 1)], texts, checkpoints[family])
    )
    trained = {name: p.detach().clone() for name, p in pretrained.model.named_parameters()}
    second, other = reset_weights(5), reset_weights(6)
    assert any(not torch.equal(first[name], trained[name]) for name in pretrained.weights)
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name
        if name in pretrained.fresh and not name.endswith("bias"):
            assert not torch.equal(weight, other[name]), name
        if name not in pretrained.fresh:
            assert torch.equal(weight, other[name]), name


@pytest.mark.usefixtures("bfloat16_here")
@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_alone_equals_the_run_beside_and_after_others(
    checkpoints, family, precision, texts, set_of
):
    sets = [(set_of(0), 11), (set_of(1, n=3), 12), (set_of(2, soft=True), 13), (set_of(0), 14)]
    runs = [Run(distilled, seed) for distilled, seed in sets]
    torch.manual_seed(1)
    together = outcomes(tiny(precision=precision), runs, texts, checkpoints[family])
    for run, outcome in zip(runs, together, strict=True):
        torch.manual_seed(2)
        before = torch.get_rng_state()
        (alone,) = outcomes(tiny(precision=precision), [run], texts, checkpoints[family])
        assert torch.equal(before, torch.get_rng_state())
        np.testing.assert_array_equal(alone.scores, outcome.scores)
    other = Run(runs[0].distilled, 99)
    (other_seed,) = outcomes(tiny(precision=precision), [other], texts, checkpoints[family])
    assert not np.array_equal(other_seed.scores, together[0].scores)


def test_a_diverged_run_fails_alone(checkpoints, texts, monkeypatch, set_of):
    good = Run(set_of(0), 1)
    (expected,) = outcomes(tiny(), [good], texts, checkpoints["bert"])
    bad = outcomes(
        tiny(learning_rate=1e30, clip=1e30, warmup=0.0), [good], texts, checkpoints["bert"]
    )
    assert bad[0].scores is None
    assert "step" in bad[0].error
    (after,) = outcomes(tiny(), [good], texts, checkpoints["bert"])
    np.testing.assert_array_equal(after.scores, expected.scores)


def test_a_nan_in_one_run_of_a_batch(checkpoints, texts, sentences, set_of):
    infinite = DistilledSet.of_texts(
        {"text": sentences(2, numpy_generator(0))},
        np.array([[np.inf, 1.0], [0.5, 0.5]]),
        CLASSES,
        recipe={"label_type": "unrestricted"},
    )
    runs = [Run(set_of(0), 1), Run(infinite, 1), Run(set_of(1), 2)]
    first, failed, last = outcomes(tiny(), runs, texts, checkpoints["bert"])
    assert failed.scores is None
    assert "loss became" in failed.error
    assert first.scores.shape == last.scores.shape == (23, 2)


@pytest.mark.parametrize("n", [1, 3, 70])
def test_small_and_large_sets(checkpoints, texts, n, set_of):
    (outcome,) = outcomes(tiny(steps=3), [Run(set_of(0, n=n), 1)], texts, checkpoints["bert"])
    assert np.isfinite(outcome.scores).all()
    assert outcome.train_seconds > 0


def test_long_rows_are_truncated(checkpoints, texts):
    long = DistilledSet.of_texts({"text": ("great film " * 2500, "bad")}, [1, 0], CLASSES)
    (outcome,) = outcomes(tiny(steps=2), [Run(long, 1)], texts, checkpoints["bert"])
    assert outcome.error is None


def test_one_checkpoint_read_serves_every_number_of_classes(
    texts, monkeypatch, tmp_path, save_checkpoint
):
    folder = save_checkpoint("bert", tmp_path)
    reads = []
    load = assets.load_classifier
    monkeypatch.setattr(
        pretrained_module, "load_classifier", lambda *a: reads.append(a) or load(*a)
    )
    two = held(folder, 2)
    body = {name: p.detach().clone() for name, p in two.model.named_parameters()}
    held(folder, 77)
    with isolated_torch_rng(0):
        held(folder, 77).reset()
    model = held(folder, 77).model
    assert model.config.num_labels == 77
    assert len(reads) == 1
    for name in two.weights:
        assert torch.equal(dict(model.named_parameters())[name], body[name])


def test_the_test_set_is_tokenised_once(checkpoints, texts, monkeypatch, set_of):
    calls = []
    from benchmark.core.finetune import tokens

    real = tokens.tokenise
    monkeypatch.setattr(tokens, "tokenise", lambda t, c, m: calls.append(c) or real(t, c, m))
    outcomes(tiny(steps=1), [Run(set_of(0), 1), Run(set_of(0), 2)], texts, checkpoints["bert"])
    outcomes(tiny(steps=1), [Run(set_of(0), 1)], texts, checkpoints["bert"])
    assert sum(c is texts.columns for c in calls) == 1
    assert len(calls) == 3


def test_cells_that_take_turns_do_not_disturb_each_other(checkpoints, texts, set_of):
    runs = [Run(set_of(0), 1), Run(set_of(1), 2)]
    three = replace(texts, classes=("bad", "good", "none"))
    expected = outcomes(tiny(), runs, texts, checkpoints["bert"])
    mine = tiny().fit_predict(runs, texts, {"tiny": checkpoints["bert"]})
    other = tiny().fit_predict(runs, three, {"tiny": checkpoints["bert"]})
    for outcome in expected:
        np.testing.assert_array_equal(next(mine).scores, outcome.scores)
        assert next(other).scores.shape == (23, 3)
