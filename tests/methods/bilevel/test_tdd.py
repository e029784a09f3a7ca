"""The methods as a whole, and the sets that they make."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import BenchmarkError, InputError
from benchmark.core.finetune.embedded import EmbeddedClassifier
from benchmark.core.finetune.embedding_sets import native_steps, train_on_embeddings
from benchmark.core.finetune.engines import engine_for
from benchmark.core.finetune.pretrained import held
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.tokens import tokenise
from benchmark.core.learner import Run, TestTexts, build_learner
from benchmark.core.method import METHODS, Budget
from benchmark.core.pool import Pool
from benchmark.testing import run_method_checks, toy_pool
from methods.attention_labels import AttentionLabels
from methods.bilevel import memory
from methods.bilevel.memory import bytes_needed, check_memory
from methods.bilevel.unroll import final_weights
from methods.bilevel.words import nearest_words, readable
from methods.bptt import BPTT
from methods.tdd import TDD, natural_length
from methods.tdd_cnn import TDDCnn
from methods.tdd_text import TDDText

TWO = Budget.dpc(2, 2)


@pytest.mark.parametrize("name", ["tdd", "attention-labels", "tdd-text", "bptt"])
def test_the_conformance_suite_passes(name):
    cls = METHODS.cls(name)
    run_method_checks(METHODS.build(name, dict(cls.toy)))


@pytest.mark.parametrize(
    "params", [{"labels": "hard"}, {"labels": "unrestricted"}, {"start": "words"}, {"passes": 2}]
)
def test_variants_make_sets_that_survive_the_disk(method, pool, tmp_path, params):
    made = method(**params).distil(pool, TWO, np.random.default_rng(0))
    made.save(tmp_path / "set")
    assert DistilledSet.load(tmp_path / "set").content_hash == made.content_hash
    assert made.is_soft == (params.get("labels") != "hard")
    assert made.arrays["embeddings"].shape == (4, 4, 16)
    assert made.size()["floats"] == 4 * 4 * 16 + 2 * params.get("passes", 1)
    assert {"seconds", "best_step", "selection_loss"} <= set(made.notes)


def test_attention_labels_are_distributions(method, pool):
    for queries, asked in (("cls", 1), ("all", 4)):
        made = method(AttentionLabels, queries=queries).distil(pool, TWO, np.random.default_rng(0))
        labels = made.arrays["attention_labels"]
        assert labels.shape == (4, 2, 2, asked, 4)
        np.testing.assert_allclose(labels.sum(-1), 1, rtol=1e-5)


def texts_of(pool) -> TestTexts:
    columns = pool.texts()
    return TestTexts(columns, pool.classes, "", lambda name: None, lambda name, made: None)


def test_a_learner_trains_natively_as_the_optimisation_did(method, pool):
    made = method(AttentionLabels).distil(pool, TWO, np.random.default_rng(0))
    folder = pool.services.model("minilm")
    pretrained = held(folder, 2)
    classifier = EmbeddedClassifier(pretrained.model)
    weights, _ = native_steps(pretrained, classifier, Recipe(), made, 11)

    from benchmark.core.finetune.embedded import EmbeddedRows
    from methods.bilevel.beginning import transformer_source

    source = transformer_source(method(AttentionLabels), pool)
    arrays = made.arrays
    batches = [
        EmbeddedRows(
            torch.tensor(arrays["embeddings"][list(rows)]),
            torch.tensor(made.labels[list(rows)]),
            torch.tensor(arrays["attention_labels"][list(rows)]),
        )
        for rows in made.recipe["order"]
    ]
    rates = torch.tensor(arrays["learning_rates"])
    expected = final_weights(source.start(11), batches, rates, source.loss)
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("engine", ["auto", "padded"])
def test_learners_take_sets_for_their_own_model_alone(method, pool, engine):
    made = method().distil(pool, TWO, np.random.default_rng(0))
    models = {"minilm": pool.services.model("minilm"), "mpnet": pool.services.model("minilm")}
    learner = build_learner(f"transformer@model=minilm@engine={engine}@precision=float32")
    runs = [Run(made, 1), Run(made, 1), Run(made, 2)]
    first, same, other = list(learner.fit_predict(runs, texts_of(pool), models))
    assert first.error is None
    assert np.array_equal(first.scores, same.scores)
    assert not np.array_equal(first.scores, other.scores)
    common = next(
        iter(
            build_learner(
                f"transformer@model=minilm@engine={engine}@native=false@steps=3"
            ).fit_predict(runs[:1], texts_of(pool), models)
        )
    )
    assert common.error is None
    assert not np.allclose(common.scores, first.scores)
    refused = next(
        iter(build_learner("transformer@model=mpnet").fit_predict(runs[:1], texts_of(pool), models))
    )
    assert refused.scores is None
    assert refused.error == "embedding-level set for minilm"
    frozen = build_learner("transformer@model=minilm@recipe=frozen")
    assert "frozen" in next(iter(frozen.fit_predict(runs[:1], texts_of(pool), models))).error
    assert not frozen.reads_embeddings_for("minilm")
    assert learner.reads_embeddings_for("minilm")
    assert not build_learner("tfidf-lr").reads_embeddings_for("minilm")


def test_embeddings_of_another_width_are_refused(method, pool):
    made = method().distil(pool, TWO, np.random.default_rng(0))
    from benchmark.core.native import NativeRecipe, embedding_set

    wide = embedding_set(
        np.zeros((4, 4, 17), dtype=np.float32), made.labels, made.classes, NativeRecipe.of(made)
    )
    pretrained = held(pool.services.model("minilm"), 2)
    texts = tokenise(pretrained.tokenizer, pool.texts(), 16)
    with pytest.raises(InputError, match="17 numbers for a model of 16"):
        train_on_embeddings(pretrained, "auto", Recipe(), wide, texts, 0, native=True)


@pytest.mark.parametrize("search", ["l2", "cosine"])
def test_word_embeddings_become_their_own_words(pool, search):
    folder = pool.services.model("minilm")
    pretrained = held(folder, 2)
    table = pretrained.weights[EmbeddedClassifier(pretrained.model).table]
    ids = readable(pretrained.tokenizer, len(table))[:6]
    words = pretrained.tokenizer.convert_ids_to_tokens(ids.tolist())
    embeddings = table[torch.from_numpy(ids)].numpy()[None]
    columns, error = nearest_words(folder, embeddings, ["a", "b"], search)
    assert columns == {"a": [" ".join(words[:3])], "b": [" ".join(words[3:])]}
    assert error == pytest.approx(0, abs=1e-3)
    scaled, _ = nearest_words(folder, 20 * embeddings, ["a"], "cosine")
    assert scaled == {"a": [" ".join(words)]}


def test_text_and_embeddings_share_one_optimisation(pool, tmp_path, method, monkeypatch):
    shared = pool.with_parts(tmp_path)
    made = method().distil(shared, TWO, np.random.default_rng(0))
    monkeypatch.setattr(TDD, "_optimise", lambda *_: pytest.fail("it was optimised again"))
    for search in ("l2", "cosine"):
        texts = method(TDDText, search=search).distil(shared, TWO, np.random.default_rng(0))
        assert texts.hard_labels.tolist() == [0, 0, 1, 1]
        assert texts.notes["selection_loss"] == made.notes["selection_loss"]
    assert METHODS.cls("tdd-text").seeded_as == METHODS.cls("tdd").seeded_as == "tdd"


def test_a_pair_becomes_two_texts(method):
    pairs = toy_pool(3, per_class=8, pair=True)
    made = method(TDDText).distil(pairs, Budget.dpc(1, 3), np.random.default_rng(0))
    assert set(made.columns) == set(pairs.text_columns)


def test_too_long_a_row_and_too_little_memory_are_said_before_work_starts(
    method, pool, monkeypatch
):
    with pytest.raises(InputError, match="length is 65; the model reads at most 64"):
        method(length=65).distil(pool, TWO, np.random.default_rng(0))
    monkeypatch.setattr("methods.bilevel.beginning.free_memory", lambda device: 1000)
    with pytest.raises(BenchmarkError, match=r"would need about .* GB; 0.0 GB are free"):
        method().distil(pool, TWO, np.random.default_rng(0))


def test_needed_memory_grows_with_the_graph_and_not_with_replay():
    def need(steps, replay):
        return bytes_needed(10**7, [2] * steps, 64, 384, 6, 12, replay=replay, attention=False)

    assert need(50, True) == need(5, True)
    assert need(50, False) > 4 * need(5, False)
    check_memory(1.0, 2.0, "it")
    assert memory.COPIES > 0


def test_a_model_without_embedding_input_is_refused():
    class Deaf(torch.nn.Module):
        def forward(self, input_ids):
            return input_ids

    with pytest.raises(InputError, match="Deaf cannot read input embeddings"):
        EmbeddedClassifier(Deaf())


def test_lengths_fit_most_rows():
    assert natural_length(np.array([10] * 100), 512) == 64
    assert natural_length(np.array([10] * 80 + [100] * 20), 512) == 128
    assert natural_length(np.array([900] * 10), 512) == 512
    assert natural_length(np.array([900] * 10), 200) == 200


@pytest.mark.parametrize(
    ("cls", "params", "message"),
    [
        (TDD, {"learning_rate": 0.0}, "learning_rate is 0.0"),
        (TDD, {"steps": -1}, "steps"),
        (BPTT, {"momentum_rate": 1.0}, "momentum_rate is 1.0"),
        (AttentionLabels, {"weight": 0.0}, "weight is 0.0"),
    ],
)
def test_bad_parameters_are_named(method, cls, params, message):
    with pytest.raises(ValueError, match=message):
        method(cls, **params)


def test_the_gradient_of_real_rows_is_the_same_packed_and_padded(pool):
    pretrained = held(pool.services.model("minilm"), 2)
    tokens = tokenise(pretrained.tokenizer, pool.texts(), 64).take(np.arange(6))
    labels = torch.from_numpy(pool.labels[:6].copy())
    found = {}
    for kind in ("auto", "padded"):
        engine = engine_for(pretrained, kind)
        torch.manual_seed(0)
        engine.begin(Recipe(dropout=0.0, precision="float32"), tokens)
        value, gradient = engine.gradient(tokens, labels)
        found[kind] = value, {name: g.clone() for name, g in gradient.items()}
    assert found["auto"][0] == pytest.approx(found["padded"][0], rel=1e-5)
    for name, gradient in found["padded"][1].items():
        torch.testing.assert_close(found["auto"][1][name], gradient, rtol=1e-4, atol=1e-6)


def test_word_vectors_are_no_learner_of_tdd_and_an_encoder_no_word_vectors(method, pool):
    services = replace(
        pool.services,
        model=lambda name: pool.services.model("glove" if name == "minilm" else "minilm"),
    )
    swapped = Pool(pool.task, pool.texts(), pool.labels.copy(), pool.classes, services=services)
    with pytest.raises(InputError, match=r"no classifier that can be trained.*as `learner`"):
        method().distil(swapped, TWO, np.random.default_rng(0))
    with pytest.raises(InputError, match="Name word vectors of the catalogue"):
        method(TDDCnn).distil(swapped, TWO, np.random.default_rng(0))


def test_sets_that_differ_in_anything_are_never_shared(method, pool, tmp_path):
    shared = pool.with_parts(tmp_path)
    variants = [
        method(),
        method(labels="hard"),
        method(start="words"),
        method(scale=0.5),
        method(length=5),
        method(inner_rate=0.5),
        method(learning_rate=0.5),
        method(selection_rows=3),
        method(passes=2),
        method(AttentionLabels),
        method(AttentionLabels, queries="all"),
        method(AttentionLabels, weight=2.0),
        method(TDDCnn),
        method(TDDCnn, initial="fixed"),
        method(TDDCnn, network="text-rnn"),
    ]
    for variant in variants:
        variant.distil(shared, Budget.dpc(1, 2), np.random.default_rng(0))
    parts = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(parts) == len(variants)
