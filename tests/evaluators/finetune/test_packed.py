"""The packed path computes what the library's padded `forward` and plain AdamW compute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.nn.functional import cross_entropy  # noqa: E402

from benchmark.core import precision  # noqa: E402
from benchmark.core.finetune import packing  # noqa: E402
from benchmark.core.finetune.architecture import architecture_of  # noqa: E402
from benchmark.core.finetune.engine import PaddedEngine, decays  # noqa: E402
from benchmark.core.finetune.engines import engine_for  # noqa: E402
from benchmark.core.finetune.masks import Masks  # noqa: E402
from benchmark.core.finetune.packed import PackedEngine  # noqa: E402
from benchmark.core.finetune.pretrained import held  # noqa: E402
from benchmark.core.finetune.recipe import Recipe  # noqa: E402
from benchmark.core.finetune.rows import RowsInUse  # noqa: E402
from benchmark.core.finetune.tokens import Padding, tokenise  # noqa: E402
from benchmark.core.finetune.training import train_and_predict  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng, numpy_generator  # noqa: E402

PACKED = ("bert", "roberta", "distilbert", "mpnet")
EXACT = Recipe(precision="float32", dropout=0.0)


@pytest.fixture(params=[packing.BUCKET_COST, 20], ids=["one bucket", "many buckets"])
def _buckets(request, monkeypatch):
    monkeypatch.setattr(packing, "BUCKET_COST", request.param)


@pytest.fixture
def ragged(sentences):
    def make(pretrained, n, seed, pair=False):
        rng = numpy_generator(seed)
        columns = {"a": sentences(n, rng)} | ({"b": sentences(n, rng)} if pair else {})
        return tokenise(pretrained.tokenizer, columns, 64)

    return make


@pytest.mark.usefixtures("_buckets")
@pytest.mark.parametrize("family", PACKED)
@pytest.mark.parametrize("pair", [False, True])
def test_one_step_has_the_gradients_of_the_padded_model(checkpoints, ragged, family, pair):
    pretrained = held(checkpoints[family], 3)
    engine = engine_for(pretrained)
    assert isinstance(engine, PackedEngine)
    examples = ragged(pretrained, 9, 0, pair)
    labels = torch.arange(9) % 3
    with isolated_torch_rng(1):
        engine.begin(EXACT, examples)
    model = pretrained.model.eval()
    packed_loss = engine.loss(engine.pack(examples), labels)
    engine.backward(packed_loss)
    mine = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    for rows in engine.rows:
        name = next(n for n, p in model.named_parameters() if p is rows.table.weight)
        mine[name] = torch.zeros_like(rows.table.weight)
        mine[name][rows.rows] = rows.parameter.grad

    model.zero_grad(set_to_none=True)
    inputs = Padding.of(pretrained.tokenizer).apply(examples)
    logits = model(**{name: torch.from_numpy(a) for name, a in inputs.items()}).logits
    loss = cross_entropy(logits, labels)
    loss.backward()
    torch.testing.assert_close(packed_loss, loss, atol=1e-6, rtol=1e-6)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(mine[name], parameter.grad, atol=1e-6, rtol=1e-5, msg=name)
    torch.testing.assert_close(engine.logits(examples), logits.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("family", "n"), [*((family, 6) for family in PACKED), ("bert", 70)])
def test_the_full_recipe_gives_the_logits_of_the_padded_path(checkpoints, ragged, family, n):
    pretrained = held(checkpoints[family], 2)
    examples, texts = ragged(pretrained, n, 0), ragged(pretrained, 40, 1)
    labels = np.arange(n) % 2
    packed, padded = (
        train_and_predict(engine_for(pretrained, kind), EXACT, examples, labels, texts, 4).logits
        for kind in ("auto", "padded")
    )
    np.testing.assert_allclose(packed, padded, atol=1e-4, rtol=0)
    start = train_and_predict(
        engine_for(pretrained), replace(EXACT, steps=1), examples, labels, texts, 4
    ).logits
    assert np.abs(packed - start).max() > 0.01  # something was learned


@pytest.mark.usefixtures("bfloat16_here")
@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_bfloat16_agrees_with_autocast(checkpoints, ragged, family):
    pretrained = held(checkpoints[family], 2)
    examples, texts = ragged(pretrained, 8, 0), ragged(pretrained, 30, 1)
    recipe = Recipe(dropout=0.0)
    labels = np.arange(8) % 2
    packed, padded = (
        train_and_predict(engine_for(pretrained, kind), recipe, examples, labels, texts, 4).logits
        for kind in ("auto", "padded")
    )
    np.testing.assert_allclose(packed, padded, atol=0.05)


@pytest.mark.parametrize("kind", ["auto", "padded"])
def test_without_its_instructions_bfloat16_is_float32(checkpoints, ragged, monkeypatch, kind):
    pretrained = held(checkpoints["bert"], 2)
    examples, texts = ragged(pretrained, 8, 0), ragged(pretrained, 30, 1)
    labels, logits = np.arange(8) % 2, []
    for name, has in (("float32", False), ("bfloat16", False), ("bfloat16", True)):
        monkeypatch.setattr(precision, "has_bfloat16", lambda kind, has=has: has)
        recipe = Recipe(dropout=0.0, precision=name, steps=20)
        engine = engine_for(pretrained, kind)
        logits.append(train_and_predict(engine, recipe, examples, labels, texts, 4).logits)
    assert (logits[0] == logits[1]).all()
    assert not (logits[1] == logits[2]).all()


def test_literal_padding_tokens_stand_where_the_library_puts_them(checkpoints):
    for family in PACKED:
        pretrained = held(checkpoints[family], 2)
        pad = pretrained.tokenizer.pad_token
        columns = {"a": (f"great {pad} film {pad} bad", "dull", f"{pad} the story was warm")}
        examples = tokenise(pretrained.tokenizer, columns, 64)
        logits = []
        for kind in ("auto", "padded"):
            engine = engine_for(pretrained, kind)
            with isolated_torch_rng(1):
                engine.begin(EXACT, examples)
            for _ in range(3):
                engine.step(examples, torch.tensor([0, 1, 1]), 1e-2)
            logits.append(engine.logits(examples))
        torch.testing.assert_close(*logits, atol=1e-4, rtol=0)


def test_rows_in_use_match_the_plain_optimiser_over_the_recipe():
    table, size, width = 50, 50, 8
    used, seen_in_test = np.array([3, 7, 7, 20]), torch.tensor([3, 11, 49])
    rng = torch.Generator().manual_seed(0)
    plain = torch.nn.Embedding(size, width)
    with torch.no_grad():
        plain.weight.copy_(torch.randn(size, width, generator=rng))
    trained = torch.nn.Embedding.from_pretrained(plain.weight.detach().clone(), freeze=False)
    target = torch.randn(4, width, generator=rng)
    recipe = Recipe(learning_rate=1e-2, weight_decay=0.1)
    rows = RowsInUse(trained, used)
    optimisers = [
        torch.optim.AdamW([weight], lr=0.0, weight_decay=recipe.weight_decay)
        for weight in (plain.weight, rows.parameter)
    ]
    ids = torch.from_numpy(used)
    for step in range(recipe.steps):
        for optimiser, lookup in zip(optimisers, (plain, rows), strict=True):
            optimiser.param_groups[0]["lr"] = recipe.rate(step)
            optimiser.zero_grad()
            (lookup(ids) - target).square().sum().backward()
            optimiser.step()
        rows.step(recipe.rate(step), recipe.weight_decay)
    before = trained.weight[seen_in_test].clone()
    rows.finish()
    assert rows.parameter.shape == (3, width)
    assert table == len(trained.weight)
    torch.testing.assert_close(trained.weight, plain.weight, atol=2e-6, rtol=1e-6)
    assert (trained.weight[seen_in_test] - before).abs().min() > 1e-4  # decay did act


@pytest.mark.parametrize("family", PACKED)
def test_rows_of_test_texts_decay_as_in_the_plain_path(checkpoints, ragged, family):
    pretrained = held(checkpoints[family], 2)
    examples = ragged(pretrained, 2, 0)
    recipe = replace(EXACT, weight_decay=0.5, learning_rate=1e-3)
    tables = []
    for kind in ("auto", "padded"):
        engine = engine_for(pretrained, kind)
        train_and_predict(engine, recipe, examples, np.array([0, 1]), ragged(pretrained, 3, 1), 2)
        architecture = architecture_of(pretrained.model)
        tables.append([t.weight.detach().clone() for t in architecture.tables])
    for packed, padded in zip(*tables, strict=True):
        torch.testing.assert_close(packed, padded, atol=5e-5, rtol=0)


def test_decay_spares_biases_and_norms(checkpoints):
    model = held(checkpoints["bert"], 2).model
    spared = {name for name, p in model.named_parameters() if not decays(name, p)}
    assert spared == {n for n, _ in model.named_parameters() if "LayerNorm" in n or "bias" in n}


def test_other_architectures_are_padded(checkpoints):
    xlnet = held(checkpoints["xlnet"], 2)
    assert isinstance(engine_for(xlnet), PaddedEngine)
    bert = held(checkpoints["bert"], 2)
    assert isinstance(engine_for(bert, "padded"), PaddedEngine)

    class Variant(type(bert.model)):
        pass

    assert architecture_of(Variant(bert.model.config)) is None
    bert.model.extra = torch.nn.Linear(2, 2)
    try:
        assert architecture_of(bert.model) is None
    finally:
        del bert.model.extra


def test_masks_drop_the_right_share_and_keep_the_expectation():
    with isolated_torch_rng(0):
        mask = Masks(0.1, torch.device("cpu")).draw(1000, 999)
        again = Masks(0.1, torch.device("cpu")).draw(1000, 999)
    assert sorted(mask.unique().tolist()) == pytest.approx([0.0, 1 / 0.9], rel=1e-4)
    assert float((mask == 0).float().mean()) == pytest.approx(0.1, abs=0.001)
    assert float((mask == 0).float().mean(0).std()) == pytest.approx(0.0095, abs=0.001)
    assert not torch.equal(mask, again)
    assert Masks(0.0, torch.device("cpu")).draw(3) is None


def test_packing_covers_every_token_once(checkpoints, ragged, monkeypatch):
    monkeypatch.setattr(packing, "BUCKET_COST", 10)
    pretrained = held(checkpoints["bert"], 2)
    batch = ragged(pretrained, 17, 3)
    packed = packing.pack(batch, None, torch.device("cpu"))
    assert len(packed.ids) == len(batch.ids)
    assert len(packed.buckets) > 2
    stops = [bucket.tokens.stop for bucket in packed.buckets]
    assert [b.tokens.start for b in packed.buckets] == [0, *stops[:-1]]
    assert stops[-1] == len(batch.ids)
    assert (packed.ids[packed.first] == batch.ids[0]).all()
    assert (packed.positions[packed.first] == 0).all()
    for bucket in packed.buckets:
        if bucket.spread is not None:
            count = bucket.tokens.stop - bucket.tokens.start
            assert torch.equal(bucket.spread[bucket.collect], torch.arange(count))
