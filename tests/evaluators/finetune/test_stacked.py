"""Runs trained side by side give what each of them gives alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from benchmark.core.finetune import packing  # noqa: E402
from benchmark.core.finetune.cell import train_cell  # noqa: E402
from benchmark.core.finetune.engines import engine_for  # noqa: E402
from benchmark.core.finetune.masks import Masks  # noqa: E402
from benchmark.core.finetune.packing import pack  # noqa: E402
from benchmark.core.finetune.pretrained import held  # noqa: E402
from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.finetune.stacked import StackedEngine  # noqa: E402
from benchmark.core.finetune.stacked_masks import StackedMasks  # noqa: E402
from benchmark.core.finetune.stacked_storage import LINE  # noqa: E402
from benchmark.core.finetune.stacked_training import train_and_predict_group  # noqa: E402
from benchmark.core.finetune.stacking import stack  # noqa: E402
from benchmark.core.finetune.tokens import tokenise  # noqa: E402
from benchmark.core.finetune.training import Member, train_and_predict  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng, numpy_generator  # noqa: E402

FAMILIES = ("bert", "roberta", "distilbert", "mpnet")
FLOAT32 = Recipe(steps=40, learning_rate=3e-3, precision="float32")
TOLERANCE = 1e-4  # of logits, stated by `train_and_predict_group`
CPU = torch.device("cpu")


@pytest.fixture
def members_of(sentences):
    """Runs with sets of their own, of equally many rows and different lengths."""

    def make(pretrained, runs=5, n=6, pair=False, soft=False):
        members = []
        for seed in range(runs):
            rng = numpy_generator(seed)
            columns = {"a": sentences(n, rng)} | ({"b": sentences(n, rng)} if pair else {})
            labels = rng.dirichlet((1, 1), n).astype(np.float32) if soft else np.arange(n) % 2
            members.append(Member(tokenise(pretrained.tokenizer, columns, 64), labels, seed))
        return members

    return make


@pytest.fixture
def texts_of(sentences):
    return lambda pretrained: tokenise(
        pretrained.tokenizer, {"a": sentences(20, numpy_generator(99))}, 64
    )


def alone(engine, recipe, members, texts):
    return [
        train_and_predict(engine, recipe, m.examples, m.labels, texts, m.seed).logits
        for m in members
    ]


@pytest.mark.parametrize("cost", [packing.BUCKET_COST, 20], ids=["one bucket", "many buckets"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_group_gives_the_logits_of_its_runs_alone(
    checkpoints, members_of, texts_of, family, cost, monkeypatch
):
    monkeypatch.setattr(packing, "BUCKET_COST", cost)
    pretrained = held(checkpoints[family], 2)
    engine, texts = engine_for(pretrained), texts_of(pretrained)
    members = members_of(pretrained, 3, pair=cost == 20)
    assert len({len(m.examples.ids) for m in members}) > 1  # some are padded
    expected = alone(engine, FLOAT32, members, texts)
    together = train_and_predict_group(engine, FLOAT32, members, texts)
    for one, other in zip(expected, together, strict=True):
        np.testing.assert_allclose(other.logits, one, atol=TOLERANCE, rtol=0)
    start = alone(engine, replace(FLOAT32, steps=1), members, texts)
    for one, first in zip(expected, start, strict=True):
        assert np.abs(one - first).max() > 100 * TOLERANCE  # something was learned,
    (plain,) = alone(engine, replace(FLOAT32, dropout=0.0), members[:1], texts)
    assert np.abs(expected[0] - plain).max() > 100 * TOLERANCE  # and dropout mattered


@pytest.mark.parametrize("kind", ["hard", "soft", "two rows a step"])
def test_results_do_not_depend_on_the_groups(checkpoints, members_of, texts_of, kind):
    pretrained = held(checkpoints["bert"], 2)
    members = members_of(pretrained, 3, soft=kind == "soft")
    members += [replace(member, seed=member.seed + 10) for member in members]
    recipe = replace(FLOAT32, batch_size=2 if kind == "two rows a step" else 64)
    results = [
        list(
            train_cell(
                lambda: engine_for(pretrained),
                lambda n: recipe,
                members,
                texts_of(pretrained),
                size,
            )
        )
        for size in (1, 2, 5)
    ]
    assert not np.allclose(results[0][0].logits, results[0][1].logits, atol=100 * TOLERANCE)
    for one, two, five in zip(*results, strict=True):
        np.testing.assert_allclose(two.logits, one.logits, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(five.logits, one.logits, atol=TOLERANCE, rtol=0)
        assert five.last_loss == pytest.approx(one.last_loss, abs=TOLERANCE)


@pytest.mark.usefixtures("bfloat16_here")
def test_bfloat16_agrees_as_well_as_the_padded_path_does(checkpoints, members_of, texts_of):
    pretrained = held(checkpoints["bert"], 2)
    engine, texts = engine_for(pretrained), texts_of(pretrained)
    members, recipe = members_of(pretrained, 3), Recipe(steps=40)
    together = train_and_predict_group(engine, recipe, members, texts)
    for one, other in zip(alone(engine, recipe, members, texts), together, strict=True):
        np.testing.assert_allclose(other.logits, one, atol=0.05, rtol=0)


@pytest.mark.usefixtures("bfloat16_here")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("cost", [packing.BUCKET_COST, 20], ids=["one bucket", "many buckets"])
@pytest.mark.parametrize("n", [2, 6, 13])
def test_seeds_of_a_set_give_the_bits_that_they_give_alone(
    checkpoints, members_of, texts_of, monkeypatch, n, cost, precision
):
    monkeypatch.setattr(packing, "BUCKET_COST", cost)
    pretrained = held(checkpoints["bert"], 2)
    engine, texts = engine_for(pretrained), texts_of(pretrained)
    (first,) = members_of(pretrained, 1, n=n)
    members = [replace(first, seed=seed) for seed in range(4)]
    recipe = replace(FLOAT32, precision=precision)
    together = train_and_predict_group(engine, recipe, members, texts)
    for one, other in zip(alone(engine, recipe, members, texts), together, strict=True):
        np.testing.assert_array_equal(other.logits, one)


def test_the_weights_of_every_run_lie_as_those_of_one_run_do(checkpoints, members_of):
    pretrained = held(checkpoints["mpnet"], 2)
    examples = [m.examples for m in members_of(pretrained, 3)]
    storage = StackedEngine(engine_for(pretrained), FLOAT32, examples, [0, 1, 2]).storage
    assert len(storage.single.values) % (LINE // 4), "else this tells nothing"
    for buffer in (storage.values, storage.gradients):
        assert {row.data_ptr() % LINE for row in buffer} == {0}


def test_literal_padding_tokens_are_not_trained(checkpoints):
    for family in ("bert", "roberta"):
        pretrained = held(checkpoints[family], 2)
        engine, pad = engine_for(pretrained), pretrained.tokenizer.pad_token
        columns = {"a": (f"great {pad} film {pad} bad", "dull")}
        examples = tokenise(pretrained.tokenizer, columns, 64)
        members = [Member(examples, np.array([0, 1]), seed) for seed in range(3)]
        together = train_and_predict_group(engine, FLOAT32, members, examples)
        for one, other in zip(alone(engine, FLOAT32, members, examples), together, strict=True):
            np.testing.assert_allclose(other.logits, one, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("place", [0, 1])  # padding of another run must not point at run 0
@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_a_diverging_run_fails_alone_at_the_step_at_which_it_would(
    checkpoints, members_of, texts_of, family, place
):
    pretrained = held(checkpoints[family], 2)
    engine, texts = engine_for(pretrained), texts_of(pretrained)
    members = members_of(pretrained, runs=3, soft=True)
    labels = np.array(members[place].labels)
    labels[2] = np.inf
    bad = replace(members[place], labels=labels)
    recipe = replace(FLOAT32, batch_size=2)
    with pytest.raises(RuntimeError) as raised:
        train_and_predict(engine, recipe, bad.examples, bad.labels, texts, bad.seed)
    good = train_and_predict_group(engine, recipe, members, texts)
    mixed = [bad if run == place else member for run, member in enumerate(members)]
    results = train_and_predict_group(engine, recipe, mixed, texts)
    failed = results.pop(place)
    assert str(failed) == str(raised.value)
    assert "at step" in str(failed)
    del good[place]
    for one, other in zip(good, results, strict=True):
        np.testing.assert_array_equal(other.logits, one.logits)


def test_a_group_of_runs_that_all_diverge_names_each(checkpoints, members_of, texts_of):
    pretrained = held(checkpoints["bert"], 2)
    recipe = replace(FLOAT32, learning_rate=1e30, clip=1e30, warmup=0.0)
    members = members_of(pretrained, runs=2)
    results = train_and_predict_group(engine_for(pretrained), recipe, members, texts_of(pretrained))
    assert all("of 40" in str(result) for result in results)


def test_sets_of_different_sizes_are_refused(checkpoints, members_of, texts_of):
    pretrained = held(checkpoints["bert"], 2)
    members = [*members_of(pretrained, 1, 4), *members_of(pretrained, 1, 6)]
    with pytest.raises(ValueError, match=r"\[4, 6\] rows"):
        train_and_predict_group(engine_for(pretrained), FLOAT32, members, texts_of(pretrained))


def test_a_run_draws_the_masks_that_it_draws_alone(checkpoints, members_of):
    pretrained = held(checkpoints["bert"], 2)
    batches = [member.examples for member in members_of(pretrained, 3)]
    packs = [pack(batch, None, CPU) for batch in batches]

    def fresh(seed):
        with isolated_torch_rng(seed):
            return Masks(0.4, CPU)

    stacked = stack(packs, [lambda run, ids: ids] * 3, CPU)
    masks = StackedMasks([fresh(seed) for seed in range(3)], stacked)
    layer = masks.draw(3 * stacked.width, 8).view(3, stacked.width, 8)
    attention = masks.attention(stacked, 4, only_first=False)
    head = masks.draw(3 * 6, 8).view(3, 6, 8)
    for run, packed in enumerate(packs):
        own = fresh(run)
        assert torch.equal(own.draw(len(packed.ids), 8), layer[run, : len(packed.ids)])
        assert len(packed.buckets) == 1
        (expected,) = own.attention(packed, 4, only_first=False)
        at = next(i for i, m in enumerate(stacked.members) if (run, 0) in m)
        start = 6 * stacked.members[at].index((run, 0))
        assert torch.equal(expected, attention[at][start : start + 6])
        assert torch.equal(own.draw(6, 8), head[run])


def test_stacking_keeps_every_token_in_its_run(checkpoints, members_of, monkeypatch):
    monkeypatch.setattr(packing, "BUCKET_COST", 10)
    pretrained = held(checkpoints["bert"], 2)
    packs = [pack(member.examples, None, CPU) for member in members_of(pretrained, 4, 9)]
    stacked = stack(packs, [lambda run, ids: ids + 1000 * run] * 3, CPU)
    ids = stacked.ids.view(4, stacked.width)
    for run, packed in enumerate(packs):
        assert torch.equal(ids[run, : len(packed.ids)], packed.ids + 1000 * run)
        assert (ids[run] // 1000 == run).all()  # padding too
    tokens = torch.cat([bucket.tokens for bucket in stacked.buckets])
    real = [run * stacked.width + at for run, p in enumerate(packs) for at in range(len(p.ids))]
    assert sorted(tokens.tolist()) == real
    assert sorted(torch.cat([b.rows for b in stacked.buckets]).tolist()) == list(range(36))
    for bucket in stacked.buckets:
        width = bucket.gather.view(bucket.count, bucket.width)
        runs = width // stacked.width
        assert (runs == runs[:, :1]).all()
        if bucket.collect is not None:
            assert torch.equal(bucket.gather[bucket.collect], bucket.tokens)
    assert len(stacked.buckets) < sum(len(p.buckets) for p in packs)  # some are shared


class Waits(TorchDispatchMode):
    """Counts the calls at which a host would wait for its device."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        names = ("_local_scalar_dense", "is_nonzero", "aten.equal", "nonzero")
        self.calls += [str(func) for name in names if name in str(func)]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", ["packed", "stacked"])
def test_no_step_waits_for_the_device(checkpoints, members_of, kind):
    pretrained = held(checkpoints["bert"], 2)
    members = members_of(pretrained, 2)
    batches = [member.examples for member in members]
    labels = [torch.from_numpy(member.labels) for member in members]
    if kind == "stacked":
        engine = StackedEngine(engine_for(pretrained), Recipe(), batches, [0, 1])
    else:
        engine = engine_for(pretrained)
        with isolated_torch_rng(0):
            engine.begin(Recipe(), batches[0])
        batches, labels = batches[0], labels[0]
    engine.step(batches, labels, 1e-5)
    with Waits() as waits:
        loss = engine.step(batches, labels, 1e-5)
    assert waits.calls == []
    with Waits() as waits:
        loss.sum().item()
    assert len(waits.calls) == 1  # it would be seen
