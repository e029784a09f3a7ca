"""Which runs train together, how many at once, and when their losses are looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmark.core.finetune import cell  # noqa: E402
from benchmark.core.finetune.losses import CHECK, Losses  # noqa: E402
from benchmark.core.finetune.pretrained import held  # noqa: E402
from benchmark.core.finetune.side_by_side import RUNS, free_memory, runs_side_by_side  # noqa: E402
from benchmark.core.finetune.stacked import StackedEngine  # noqa: E402
from benchmark.core.learner import LEARNERS, Run, TestTexts  # noqa: E402
from benchmark.core.seeding import numpy_generator  # noqa: E402
from evaluators.learners.transformer import Transformer  # noqa: E402

CPU = torch.device("cpu")
PLENTY = 2**40


@pytest.fixture
def texts(sentences):
    rng = numpy_generator(1)
    return TestTexts(
        {"text": sentences(20, rng)}, ("bad", "good"), "t", lambda e: None, lambda e, s: None
    )


@pytest.fixture
def groups(monkeypatch):
    """Sizes of the groups that train side by side."""
    sizes = []
    real = cell.train_and_predict_group
    monkeypatch.setattr(
        cell, "train_and_predict_group", lambda e, r, m, t: sizes.append(len(m)) or real(e, r, m, t)
    )
    return sizes


def learner(**params) -> Transformer:
    return LEARNERS.build(
        "transformer", {"model": "tiny", "steps": 20, "precision": "float32", **params}
    )


def outcomes(runs, texts, folder, **params):
    return list(learner(**params).fit_predict(runs, texts, {"tiny": folder}))


def test_the_learner_gives_the_same_for_every_group_size(
    checkpoints, texts, set_of, monkeypatch, groups
):
    sets = [set_of(0), set_of(1, n=3), set_of(0, soft=True), set_of(2)]
    runs = [Run(distilled, seed) for distilled in sets for seed in range(3)]
    results = {}
    for size in (1, 2, 5, 0):
        monkeypatch.setattr(Transformer, "side_by_side", size)
        groups.clear()
        results[size] = outcomes(runs, texts, checkpoints["bert"])
        assert bool(groups) == (size != 1)
        assert all(count <= (size or RUNS) for count in groups)
    assert sorted(groups) == [3, 3, 6], "rows as long stand together, whatever their labels"
    for size in (2, 5, 0):
        for one, other in zip(results[1], results[size], strict=True):
            np.testing.assert_array_equal(other.scores, one.scores)
            assert other.train_seconds > 0
    assert not np.allclose(results[1][0].scores, results[1][1].scores, atol=0.01)


def test_runs_whose_steps_take_other_rows_train_one_by_one(checkpoints, texts, set_of, groups):
    runs = [Run(set_of(0), seed) for seed in range(3)]
    outcomes(runs, texts, checkpoints["bert"], batch_size=4)
    assert groups == []
    outcomes(runs, texts, checkpoints["bert"], batch_size=6)
    assert groups == [3]


def test_the_group_size_is_in_no_key():
    assert "side_by_side" not in learner().params()


def test_other_engines_train_one_by_one(checkpoints, texts, set_of, monkeypatch, groups):
    monkeypatch.setattr(Transformer, "side_by_side", 3)
    runs = [Run(set_of(0), seed) for seed in range(3)]
    outcomes(runs, texts, checkpoints["xlnet"], steps=2)
    outcomes(runs, texts, checkpoints["bert"], steps=2, engine="padded")
    assert groups == []
    pretrained = held(checkpoints["bert"], 2)
    table = "bert.embeddings.position_embeddings.weight"
    monkeypatch.setattr(pretrained, "fresh", pretrained.fresh | {table})
    monkeypatch.delitem(pretrained.weights, table)
    outcomes(runs, texts, checkpoints["bert"], steps=2)  # every run draws such a table anew
    assert groups == []


def test_a_group_that_finds_no_memory_trains_one_by_one(checkpoints, texts, set_of, monkeypatch):
    runs = [Run(set_of(0), seed) for seed in range(3)]
    expected = outcomes(runs, texts, checkpoints["bert"])

    def no_memory(*args):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(StackedEngine, "step", no_memory)
    for one, other in zip(expected, outcomes(runs, texts, checkpoints["bert"]), strict=True):
        np.testing.assert_allclose(other.scores, one.scores, atol=1e-4, rtol=0)


def test_small_models_train_side_by_side_and_large_ones_do_not():
    assert runs_side_by_side(400_000, 60, CPU, PLENTY) == RUNS
    assert 1 < runs_side_by_side(400_000, 500, CPU, PLENTY) < RUNS
    assert runs_side_by_side(400_000, 5000, CPU, PLENTY) == 1
    assert runs_side_by_side(10_000_000, 60, CPU, PLENTY) == 1
    assert runs_side_by_side(400_000, 60, torch.device("cuda"), PLENTY) == 1


def test_a_group_leaves_most_of_the_memory():
    sizes = [runs_side_by_side(400_000, 60, CPU, free) for free in (0, 100 * 2**20, PLENTY)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 1
    assert 1 < sizes[1] < sizes[2]
    assert 2**20 < free_memory(CPU) < 2**50


def test_losses_name_the_first_bad_step_and_look_seldom():
    losses = Losses(runs=3, steps=3 * CHECK)
    for step in range(3 * CHECK):
        values = [1.0 + step, math.nan if step >= CHECK + 3 else 2.0, math.inf if step == 1 else 3]
        assert losses.add(torch.tensor(values))
        if step + 1 < CHECK:
            assert losses.broken == [0, 0, 0]  # nobody looked yet
    assert losses.broken == [0, CHECK + 4, 2]
    assert losses.values[0] == 3 * CHECK
    assert losses.fault(0) is None
    assert losses.fault(1) == f"the loss became nan at step {CHECK + 4} of {3 * CHECK}"
    assert losses.fault(2) == f"the loss became inf at step 2 of {3 * CHECK}"


def test_training_stops_soon_after_every_run_is_broken():
    losses = Losses(runs=2, steps=1000)
    steps = next(step for step in range(1000) if not losses.add(torch.tensor([math.nan, math.nan])))
    assert steps < CHECK


def test_the_last_steps_are_looked_at():
    losses = Losses(runs=1, steps=CHECK + 2)
    for _ in range(CHECK + 1):
        losses.add(torch.tensor(1.0))
    losses.add(torch.tensor(math.nan))
    assert losses.broken == [CHECK + 2]
