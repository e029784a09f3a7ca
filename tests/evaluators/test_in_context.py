"""In-context learning: the shared prefix equals the plain prompt, on tiny real models."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tokenizers import (  # noqa: E402  # noqa: E402
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (  # noqa: E402
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
)

from benchmark.core.assets import Assets, ModelSpec, model_fingerprint  # noqa: E402
from benchmark.core.catalogue import Catalogue  # noqa: E402
from benchmark.core.distilled import DistilledSet  # noqa: E402
from benchmark.core.errors import InputError, UnavailableError  # noqa: E402
from benchmark.core.learner import LEARNERS, Run, TestTexts, build_learner  # noqa: E402
from benchmark.core.library import register_catalogue_learners  # noqa: E402
from evaluators.learners.in_context import InContext  # noqa: E402
from evaluators.prompting.labels import LabelTree, label_words  # noqa: E402
from evaluators.prompting.language_model import held  # noqa: E402
from evaluators.prompting.pieces import Template, continuation  # noqa: E402
from evaluators.prompting.prompt import batches  # noqa: E402

WORDS = [
    "a",
    "the",
    "film",
    "movie",
    "story",
    "plot",
    "was",
    "is",
    "great",
    "good",
    "fine",
    "poor",
    "dull",
    "weak",
    "very",
    "quite",
    "not",
    "so",
    "and",
    "but",
    "negative",
    "positive",
    "neutral",
    "card",
    "payment",
    "arrival",
    "lost",
    "stolen",
    "transfer",
    "fee",
    "poison",
]
CORPUS = [f"sentence: {a} {b}\nlabel: {b}\n\nquestion: {b}" for a in WORDS for b in WORDS]
CLASSES = ("negative", "positive")
BANKING = ("card", "card_payment", "card_arrival", "card_payment_fee", "transfer", "lost_card")
WIDTH = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}
FAMILIES = ("gpt2", "llama", "opt")
CONTEXT = 160
MODEL = {"model": "tiny", "precision": "float32"}


def byte_level_tokenizer(start: str | None) -> PreTrainedTokenizerFast:
    """As GPT-2's and OPT's: words carry their leading space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", special_tokens=[(start, tokenizer.token_to_id(start))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def sentencepiece_tokenizer() -> PreTrainedTokenizerFast:
    """As Llama 2's: a space is put before every text, and bytes stand for what is unknown."""
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([w for text in CORPUS for w in text.split("\n")], trainer)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def save_tiny(family: str, folder):
    """Write a tiny checkpoint; its weights are large enough for mistakes to show."""
    if family == "llama":
        tokenizer = sentencepiece_tokenizer()
    else:
        tokenizer = byte_level_tokenizer("</s>" if family == "opt" else None)
    size = {"vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if family == "gpt2":
            config = GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, **size)
            model = GPT2LMHeadModel(config)
        elif family == "llama":
            config = LlamaConfig(
                **WIDTH, **size, intermediate_size=48, num_key_value_heads=2,
                max_position_embeddings=CONTEXT,
            )  # fmt: skip
            model = LlamaForCausalLM(config)
        else:
            config = OPTConfig(
                **WIDTH, **size, ffn_dim=48, word_embed_proj_dim=32, max_position_embeddings=CONTEXT
            )
            model = OPTForCausalLM(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """The models are tiny: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: save_tiny(name, tmp_path_factory.mktemp(name)) for name in FAMILIES}


def sentences(n, seed, low=1, high=12):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS[:-1], rng.integers(low, high))) for _ in range(n)]


def make_set(labels, classes=CLASSES, seed=0, **columns):
    columns = columns or {"sentence": sentences(len(labels), seed)}
    return DistilledSet.of_texts(columns, labels, classes)


def make_test(classes=CLASSES, **columns):
    columns = columns or {"sentence": sentences(14, 99)}
    return TestTexts(columns, tuple(classes), "f", lambda _: None, lambda *_: None)


def outcomes(folder, runs, test, **parameters):
    learner = InContext(**{**MODEL, **parameters})
    return list(learner.fit_predict(runs, test, {"tiny": folder}))


def scores_of(folder, distilled, test, seed=0, **parameters):
    (outcome,) = outcomes(folder, [Run(distilled, seed)], test, **parameters)
    assert outcome.error is None, outcome.error
    assert outcome.scores.shape == (len(test), len(test.classes))
    assert np.isfinite(outcome.scores).all()
    return outcome.scores


def plain_scores(folder, prompts, labels):
    """Score full prompts one at a time with the model's own logits, without any cache."""
    model = held(folder, "float32").model
    scores = np.zeros((len(prompts), len(labels)))
    for i, prompt in enumerate(prompts):
        for c, label in enumerate(labels):
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *label]])).logits[0, len(prompt) - 1 :]
            for depth, token in enumerate(label):
                following = sorted({x[depth] for x in labels if x[:depth] == label[:depth]})
                log_probabilities = logits[depth, following].log_softmax(0)
                scores[i, c] += log_probabilities[following.index(token)]
    return scores


def written(distilled, order):
    return "\n\n".join(
        f"sentence: {distilled.columns['sentence'][i]}\n"
        f"label: {label_words(distilled.classes)[distilled.hard_labels[i]]}"
        for i in order
    )


def order_of(distilled, seed):
    from benchmark.core.seeding import numpy_generator, seed_of

    return numpy_generator(seed_of("order of examples", seed=seed)).permutation(len(distilled))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("classes", [CLASSES, BANKING], ids=["flat", "tree"])
def test_the_shared_prefix_equals_the_whole_prompt(folders, family, classes):
    folder = folders[family]
    tokenizer = held(folder, "float32").tokenizer
    distilled = make_set([0, 1, 1, 0, 0], classes)
    test = make_test(classes)
    scores = scores_of(folder, distilled, test, seed=5)
    demonstrations = written(distilled, order_of(distilled, 5))
    prompts = [
        tokenizer(f"{demonstrations}\n\nsentence: {text}\nlabel:")["input_ids"]
        for text in test.columns["sentence"]
    ]
    assert len({len(prompt) for prompt in prompts}) > 5, "no padding was tried"
    assert max(map(len, prompts)) < CONTEXT
    end = continuation(tokenizer, "a", "\n\nsentence")[0]
    labels = [[*continuation(tokenizer, "label:", f" {w}"), end] for w in label_words(classes)]
    np.testing.assert_allclose(scores, plain_scores(folder, prompts, labels), atol=1e-4)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_gets_the_examples_that_fit_before_it(folders, family):
    folder = folders[family]
    tokenizer = held(folder, "float32").tokenizer
    distilled = make_set([0, 1] * 10)
    test = make_test(sentence=[*sentences(12, 7, 1, 4), *sentences(6, 8, 14, 20)])
    scores = scores_of(folder, distilled, test, seed=2, max_context=100)
    order, prompts, shown = order_of(distilled, 2), [], set()
    for text in test.columns["sentence"]:
        for n in range(len(order), 0, -1):
            prompt = tokenizer(
                f"{written(distilled, order[:n])}\n\nsentence: {text}\nlabel:"
            )["input_ids"]  # fmt: skip
            if len(prompt) <= 100:
                break
        shown.add(n)
        prompts.append(prompt)
    assert len(shown) > 1
    assert max(shown) < len(order)
    labels = [continuation(tokenizer, "label:", f" {word}") for word in CLASSES]
    np.testing.assert_allclose(scores, plain_scores(folder, prompts, labels), atol=1e-4)


def test_the_order_is_all_that_a_seed_draws(folders):
    folder, test = folders["gpt2"], make_test()
    sets = [make_set([0, 1, 0, 1, 1], seed=s) for s in (0, 1)]
    runs = [Run(s, seed) for s in sets for seed in (1, 2)]
    together = [o.scores for o in outcomes(folder, runs, test)]
    for run, scores in zip(runs, together, strict=True):
        np.testing.assert_array_equal(scores, scores_of(folder, run.distilled, test, run.seed))
    assert not np.allclose(together[0], together[1])
    one = make_set([1])
    np.testing.assert_array_equal(
        scores_of(folder, one, test, seed=1), scores_of(folder, one, test, seed=2)
    )


def test_pairs_show_both_columns(folders):
    template = Template.of(held(folders["gpt2"], "float32").tokenizer, ("premise", "question"), 99)
    texts = [["a film\n\nlabel: positive"], ["was  it good"]]
    (piece,) = template.pieces(texts, ["not duplicate"])
    assert template.tokenizer.decode(piece) == (
        "\n\npremise: a film label: positive\nquestion: was it good\nlabel: not duplicate"
    )
    assert template.tokenizer.decode(template.pieces(texts, first=True)[0]).endswith("label:")
    columns = {"premise": sentences(4, 1), "question": sentences(4, 2)}
    test = make_test(premise=sentences(9, 3), question=sentences(9, 4))
    scores = scores_of(folders["gpt2"], make_set([0, 1, 0, 1], **columns), test)
    swapped = {"premise": columns["question"], "question": columns["premise"]}
    assert not np.allclose(
        scores, scores_of(folders["gpt2"], make_set([0, 1, 0, 1], **swapped), test)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_piece_is_cut_in_its_texts_alone(folders, family):
    tokenizer = held(folders[family], "float32").tokenizer
    template = Template.of(tokenizer, ("premise", "question"), 80)
    long = " ".join(sentences(400, 5))
    cases = {"both": ([long], [long]), "one": (["a film"], [long])}
    for texts in cases.values():
        (piece,) = template.pieces(texts, ["positive"])
        assert len(piece) == template.limit
        text = tokenizer.decode(piece)
        assert text.startswith("\n\npremise: ")
        assert "\nquestion: " in text
        assert text.endswith("\nlabel: positive")
    assert "premise: a film\n" in text, "the short text was cut"


@pytest.mark.parametrize("family", FAMILIES)
def test_embarrassing_sets(folders, family):
    folder = folders[family]
    long = " ".join(sentences(5000, 3, 1, 2))
    assert len(long.split()) == 5000
    test = make_test(sentence=[*sentences(5, 1), long, "a", *sentences(3, 2)])
    examples = {
        "one row": make_set([1]),
        "one class": make_set([0] * 6),
        "long rows": make_set([0, 1], sentence=[long, long]),
        "long and short": make_set([0, 1, 1], sentence=["so dull", long, "a film"]),
        "too many": make_set([0, 1] * 100),
    }
    for distilled in examples.values():
        scores_of(folder, distilled, test)
        scores_of(folder, distilled, test, max_context=10_000)  # the model's own maximum counts


@pytest.mark.parametrize("family", FAMILIES)
def test_77_classes_at_dpc_5(folders, family):
    """The label tree is longer than the room behind the longest row, but no path in it is."""
    names = [f"{a}_{b}_card" for a in WORDS[:7] for b in WORDS[7:18]]
    assert len(names) == 77
    test = make_test(names, sentence=[*sentences(4, 1), " ".join(sentences(40, 2))])
    distilled = make_set(np.repeat(np.arange(77), 5), names)
    scores = scores_of(folders[family], distilled, test)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-6)


def test_soft_labels_are_read_as_their_most_probable_class(folders):
    texts, test = sentences(3, 4), make_test()
    hard = make_set([1, 0, 1], sentence=texts)
    soft = make_set([[0.3, 0.7], [0.9, 0.1], [0.4, 0.6]], sentence=texts)
    assert InContext(**MODEL).refuses(soft) is None
    np.testing.assert_array_equal(
        scores_of(folders["gpt2"], hard, test), scores_of(folders["gpt2"], soft, test)
    )


def test_a_run_that_is_not_finite_fails_alone(tmp_path):
    folder = save_tiny("gpt2", tmp_path)
    model = held(folder, "float32")
    (token,) = continuation(model.tokenizer, "a", " poison")
    with torch.no_grad():
        model.model.transformer.wte.weight[token] = torch.nan
    sets = [make_set([0, 1]), make_set([0, 1], sentence=["the poison", "a"]), make_set([1, 1])]
    good, bad, next_one = outcomes(folder, [Run(s, 0) for s in sets], make_test())
    assert good.error is None
    assert next_one.error is None
    assert bad.scores is None
    assert "not finite" in bad.error


def test_a_run_that_raises_fails_alone(folders):
    sets = [make_set([0, 1], sentence=["a \ud800 film", "so"]), make_set([0, 1])]
    first, second = outcomes(folders["gpt2"], [Run(s, 0) for s in sets], make_test())
    assert first.error
    assert second.error is None


def test_label_words():
    assert label_words(["not_equivalent", "_red_heart_"]) == ["not equivalent", "red heart"]
    assert label_words(["a_b", "a b"]) == ["a_b", "a b"]
    assert label_words(["_", "b"]) == ["_", "b"]


def test_a_tree_has_only_what_parts_labels():
    flat = LabelTree.of_tokens([[1, 9], [2, 5, 9]])
    assert (flat.depth, len(flat.tokens), len(flat.branches)) == (0, 0, 1)
    prefixed = LabelTree.of_tokens([[1, 9], [1, 2, 9], [1, 2, 3, 9], [4, 9]])
    assert prefixed.tokens.tolist() == [1, 2]
    assert prefixed.parents.tolist() == [-1, 0]
    assert prefixed.ancestry().tolist() == [[True, False], [True, True]]
    shared = LabelTree.of_tokens([[7, 1, 9], [7, 2, 9]])
    assert [branch.node for branch in shared.branches] == [0]
    assert LabelTree.of_tokens([[1, 9]]).branches == ()


def test_leading_spaces_follow_the_tokenizer(folders):
    for family in FAMILIES:
        tokenizer = held(folders[family], "float32").tokenizer
        ids = continuation(tokenizer, "label:", " positive")
        start = tokenizer.convert_ids_to_tokens(ids)[0]
        assert start[0] == ("▁" if family == "llama" else "Ġ")


def test_batches_hold_every_row_once_with_one_prefix_each():
    rng = np.random.default_rng(0)
    room, widths = rng.choice([10, 500], 5000), rng.integers(3, 300, 5000)
    found = list(batches(room, widths))
    assert sorted(np.concatenate(found)) == list(range(5000))
    for batch in found:
        assert len(set(room[batch])) == 1
        assert len(batch) * widths[batch].max() <= 2048
    assert len(found) < 5000 * widths.mean() / 2048 * 1.2 + 2


def test_it_is_registered_with_presets_and_checks_its_parameters():
    register_catalogue_learners(Catalogue.load(()))
    assert LEARNERS.build("in-context").models == ("smollm2-135m",)
    assert build_learner("in-context-opt-2.7b").models == ("opt-2.7b",)
    assert build_learner("in-context-gpt2@max_context=512").params() == {
        "model": "gpt2", "max_context": 512, "precision": "bfloat16",
    }  # fmt: skip
    with pytest.raises(InputError, match="max_context"):
        build_learner("in-context@max_context=3")


def test_a_folder_with_a_gguf_file_alone_is_a_model(tmp_path):
    folder = tmp_path / "models" / "some" / "lm"
    folder.mkdir(parents=True)
    (folder / "lm.gguf").write_bytes(b"GGUF weights")
    digest = hashlib.sha256(b"GGUF weights").hexdigest()
    entry = f'{{"some/lm/lm.gguf": {{"sha256": "{digest}"}}}}'
    (tmp_path / "models" / "manifest.json").write_text(entry)
    assets = Assets(tmp_path, offline=True)
    assert assets.model(ModelSpec("lm", "some/lm", sha256=digest)) == folder
    assert model_fingerprint(folder)
    with pytest.raises(InputError, match="sha256"):
        assets.model(ModelSpec("lm", "some/lm", sha256="0" * 64))
    with pytest.raises(UnavailableError):
        assets.model(ModelSpec("lm", "other/lm"))
