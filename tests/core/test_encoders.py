"""Features are what a plain forward pass of the model gives, however texts are batched."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from benchmark.core import encoders, precision, threads
from benchmark.core.assets import all_model_files
from benchmark.core.encoders import Encoder, EncoderSpec, WordAverages, length_batches
from benchmark.core.errors import InputError

quick = settings(max_examples=60, derandomize=True, deadline=None, database=None)
VOCABULARY = "a the film movie plot was is good great fine bad poor dull"
WORDS = VOCABULARY.split()
DENSE = "2_Dense/model.safetensors"
SPEC = EncoderSpec("tiny", "tiny", dtype="float32", max_length=16)


def sentences(n, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 30))) for _ in range(n)]


def plain(folder, columns, spec):
    """One text at a time, nothing padded, straight from transformers."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    features = []
    for first, *rest in zip(*columns.values(), strict=True):
        batch = tokenizer(
            spec.prefix + first,
            *rest,
            truncation=True,
            max_length=spec.max_length,
            return_tensors="pt",
        )
        assert batch["input_ids"].shape[1] <= spec.max_length
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state[0]
        pooled = hidden[0] if spec.pooling == "cls" else hidden.mean(0)
        features.append(pooled / pooled.norm() if spec.normalise else pooled)
    return torch.stack(features).numpy()


def as_sentence_transformers(source, folder, pooling, dense=None, *, old=True):
    """Copy a model and say what follows it, as sentence-transformers writes it down."""
    shutil.copytree(source, folder)
    kinds = ["Transformer", "Pooling", *(["Dense"] if dense is not None else []), "Normalize"]
    modules = [
        {"path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    modes = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
    modes["max"] = "pooling_mode_max_tokens"
    told = {mode: name == pooling for name, mode in modes.items()}
    told = told if old else {"pooling_mode": pooling}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(told))
    if dense is not None:
        (folder / "2_Dense").mkdir()
        activation = "torch.nn.modules.activation.Tanh"
        described = json.dumps({"activation_function": activation})
        (folder / "2_Dense" / "config.json").write_text(described)
        save_file(dense, folder / "2_Dense" / "model.safetensors")
    return folder


@pytest.mark.parametrize("bias", [True, False])
def test_dense_layers_of_a_sentence_transformer(tiny_bert, tmp_path, bias):
    rng = np.random.default_rng(0)
    dense = {"linear.weight": rng.normal(size=(5, 16)).astype(np.float32)}
    if bias:
        dense["linear.bias"] = rng.normal(size=5).astype(np.float32)
    folder = as_sentence_transformers(tiny_bert, tmp_path / "m", "mean", dense)
    columns = {"one": sentences(7)}
    before = torch.random.get_rng_state()
    features = Encoder(SPEC, folder).encode(columns)
    assert torch.equal(before, torch.random.get_rng_state())
    pooled = plain(tiny_bert, columns, dataclasses.replace(SPEC, normalise=False))
    expected = np.tanh(pooled @ dense["linear.weight"].T + dense.get("linear.bias", 0))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    first = SPEC.fingerprint(folder)
    save_file({**dense, "linear.weight": 2 * dense["linear.weight"]}, folder / DENSE)
    assert SPEC.fingerprint(folder) != first != SPEC.fingerprint(tiny_bert)


def test_the_files_of_a_model_are_all_that_its_features_need(tiny_bert, tmp_path):
    """`prepare` copies these and no others."""
    dense = {"linear.weight": np.ones((5, 16), np.float32)}
    folder = as_sentence_transformers(tiny_bert, tmp_path / "m", "mean", dense)
    for path in all_model_files(folder):
        copied = tmp_path / "copy" / path.relative_to(folder)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)
    columns = {"one": sentences(3)}
    one, other = (Encoder(SPEC, at).encode(columns) for at in (folder, tmp_path / "copy"))
    assert one.shape == (3, 5)
    assert (one == other).all()
    assert SPEC.fingerprint(tmp_path / "copy") == SPEC.fingerprint(folder)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize(("told", "taken"), [("cls", "mean"), ("mean", "cls"), ("max", "mean")])
def test_a_model_that_is_pooled_otherwise_is_refused(tiny_bert, tmp_path, told, taken, old):
    folder = as_sentence_transformers(tiny_bert, tmp_path / "m", told, old=old)
    spec = dataclasses.replace(SPEC, pooling=taken)
    with pytest.raises(InputError, match=f"pooling is '{taken}', but .* pooled by '{told}|max"):
        spec.fingerprint(folder)
    if told != "max":
        agreed = dataclasses.replace(SPEC, pooling=told)
        assert agreed.fingerprint(folder) == agreed.fingerprint(tiny_bert), "keys stay as they are"


def test_a_module_that_is_not_known_is_refused(tiny_bert, tmp_path):
    folder = as_sentence_transformers(tiny_bert, tmp_path / "m", "mean")
    modules = json.loads((folder / "modules.json").read_text())
    modules[-1]["type"] = "sentence_transformers.models.CNN"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InputError, match="the module 'CNN' is none of"):
        Encoder(SPEC, folder)


def test_of_an_encoder_decoder_the_encoder_reads(tiny_bert, tmp_path):
    from transformers import AutoTokenizer, T5Config, T5EncoderModel, T5ForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}
    T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **sizes)).save_pretrained(
        tmp_path
    )
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(tmp_path)
    texts = sentences(5)
    features = Encoder(SPEC, tmp_path).encode({"one": texts})
    model = T5EncoderModel.from_pretrained(tmp_path).eval()
    for text, row in zip(texts, features, strict=True):
        ids = tokenizer(text, truncation=True, max_length=16, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            mean = model(input_ids=ids).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(row, (mean / mean.norm()).numpy(), atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("prefix", ["", "query : "])
@pytest.mark.parametrize("pair", [False, True])
def test_equal_to_a_plain_forward_pass(tiny_bert, pooling, normalise, prefix, pair):
    spec = dataclasses.replace(SPEC, pooling=pooling, normalise=normalise, prefix=prefix)
    columns = {"one": sentences(12)}
    if pair:
        columns["two"] = sentences(12, seed=1)
    features = Encoder(spec, tiny_bert).encode(columns)
    assert (features.dtype, features.shape) == (np.float32, (12, 16))
    np.testing.assert_allclose(features, plain(tiny_bert, columns, spec), atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("bfloat16_here")
def test_settings_change_the_features(tiny_bert):
    columns = {"one": sentences(6)}
    specs = [
        SPEC,
        dataclasses.replace(SPEC, pooling="cls"),
        dataclasses.replace(SPEC, normalise=False),
        dataclasses.replace(SPEC, max_length=5),
        dataclasses.replace(SPEC, prefix="query : "),
        dataclasses.replace(SPEC, dtype="bfloat16"),
    ]
    features = [Encoder(spec, tiny_bert).encode(columns) for spec in specs]
    assert len({matrix.tobytes() for matrix in features}) == len(specs)
    assert len({spec.fingerprint(tiny_bert) for spec in specs}) == len(specs)
    np.testing.assert_allclose(features[5], features[0], atol=0.05)
    renamed = dataclasses.replace(SPEC, name="other", model="other")
    assert renamed.fingerprint(tiny_bert) == SPEC.fingerprint(tiny_bert)


def test_without_its_instructions_bfloat16_is_float32(tiny_bert, monkeypatch):
    columns = {"one": sentences(6)}
    monkeypatch.setattr(precision, "has_bfloat16", lambda kind: False)
    low, full = (
        Encoder(dataclasses.replace(SPEC, dtype=dtype), tiny_bert).encode(columns)
        for dtype in ("bfloat16", "float32")
    )
    assert (low == full).all()


@pytest.mark.parametrize("budget", [1, 40, 10**6])
def test_batches_do_not_change_the_features(tiny_bert, monkeypatch, budget):
    columns = {"one": sentences(40)}
    encoder = Encoder(SPEC, tiny_bert)
    alone = np.concatenate([encoder.encode({"one": [text]}) for text in columns["one"]])
    monkeypatch.setattr(encoders, "TOKENS_PER_BATCH", budget)
    monkeypatch.setattr(encoders, "ROWS_PER_CHUNK", 7)
    steps = []
    features = encoder.encode(columns, lambda done, total: steps.append((done, total)))
    np.testing.assert_allclose(features, alone, atol=1e-5)
    assert steps[-1] == (40, 40)
    assert features.tobytes() == encoder.encode(columns).tobytes()


def test_every_batch_is_computed_by_one_thread_alone_so_that_cores_change_no_bit(
    tiny_bert, monkeypatch
):
    torch.set_num_threads(2)  # what a new thread begins with; `one_thread` sets it back
    inside, encode = [], Encoder._forward
    forward = lambda *args: inside.append(torch.get_num_threads()) or encode(*args)  # noqa: E731
    monkeypatch.setattr(Encoder, "_forward", forward)
    monkeypatch.setattr(encoders, "TOKENS_PER_BATCH", 16)
    columns = {"one": [f"good film {'very ' * (n % 7)}" for n in range(40)]}
    made = {}
    for cores in (1, 3):
        monkeypatch.setattr(threads, "feature_threads", lambda cores=cores: cores)
        made[cores] = Encoder(SPEC, tiny_bert).encode(columns).tobytes()
    assert made[1] == made[3]
    assert (set(inside), torch.get_num_threads()) == ({1}, 2)


@pytest.mark.parametrize("where", ["batch", "progress"])
def test_what_fails_is_raised_and_batches_that_have_not_begun_are_not_begun(
    tiny_bert, monkeypatch, where
):
    monkeypatch.setattr(encoders, "TOKENS_PER_BATCH", 8)
    encoder, encode = Encoder(SPEC, tiny_bert), Encoder._forward
    begun = []

    def forward(self, fields):
        begun.append(len(begun))
        if where == "batch" and len(begun) == 3:
            raise MemoryError("no room")
        return encode(self, fields)

    def progress(done, total):
        if where == "progress":
            raise MemoryError("no room")

    monkeypatch.setattr(Encoder, "_forward", forward)
    with pytest.raises(MemoryError, match="no room"):
        encoder.encode({"one": ["good film"] * 400}, progress)
    assert len(begun) < 100  # of two hundred


@quick
@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 200))
def test_length_batches_hold_each_row_once_within_the_budget(lengths, budget):
    lengths = np.array(lengths, dtype=np.int64)
    batches = list(length_batches(lengths, budget))
    rows = [int(row) for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert (np.diff(lengths[rows]) <= 0).all()
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"pooling": "max"}, "mean, cls"), ({"dtype": "int8"}, "dtype"), ({"max_length": 0}, "less")],
)
def test_a_setting_that_no_encoder_has(changed, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(SPEC, **changed)


@pytest.fixture(scope="module")
def word_vectors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    rows = {"good": (1, 0), "film": (0, 2), "bad": (-1, 0), "the": (3, 3)}
    lines = [f"{word} {x} {y}" for word, (x, y) in rows.items()]
    (folder / "vectors.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_word_averages_are_means_of_known_words(word_vectors):
    spec = EncoderSpec("glove", "glove", pooling="words", normalise=False, max_length=4)
    columns = {"one": ["Good film!", "unheard", "film", "bad bad bad bad film"]}
    steps = []
    features = WordAverages(spec, word_vectors).encode(columns, lambda *step: steps.append(step))
    assert features.dtype == np.float32
    assert features.tolist() == [[0.5, 1], [0, 0], [0, 2], [-1, 0]]
    assert steps == [(4, 4)]
    pair = WordAverages(spec, word_vectors).encode({"one": ["good"], "two": ["film"]})
    assert pair.tolist() == [[0.5, 1]]
    prefixed = dataclasses.replace(spec, prefix="the ")
    assert WordAverages(prefixed, word_vectors).encode({"one": ["good"]}).tolist() == [[2, 1.5]]
    unit = dataclasses.replace(spec, normalise=True)
    norms = np.linalg.norm(WordAverages(unit, word_vectors).encode(columns), axis=1)
    np.testing.assert_allclose(norms, [1, 0, 1, 1], rtol=1e-6)


def test_a_prompt_names_the_classes_of_the_task(tiny_bert):
    spec = dataclasses.replace(SPEC, prefix="{classes} : ").for_classes(["good", "bad film"])
    assert spec.prefix == "good, bad film : "
    assert SPEC.for_classes(["good"]) == SPEC
    columns = {"one": sentences(5)}
    features = Encoder(spec, tiny_bert).encode(columns)
    np.testing.assert_allclose(features, plain(tiny_bert, columns, spec), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["transformer", "words"])
def test_a_prompt_that_leaves_no_room_for_the_text_is_refused(tiny_bert, word_vectors, kind):
    """Else every text would have the features of the prompt, and nobody would be told."""
    spec = dataclasses.replace(SPEC, prefix="{classes} : ")
    load = {
        "transformer": lambda classes: Encoder(spec.for_classes(classes), tiny_bert),
        "words": lambda classes: WordAverages(spec.for_classes(classes), word_vectors),
    }[kind]
    load(["good"])
    with pytest.raises(InputError, match=r"takes .* of the 16 tokens that it reads, more"):
        load(["good"] * 20)


def test_fingerprints_of_models_know_nothing_of_endpoints(tiny_bert):
    """Those of stored features: the settings of before, whatever an endpoint adds."""
    from benchmark.core.assets import model_fingerprint
    from benchmark.core.keys import canonical_json, combine

    settings = {
        "pooling": "mean",
        "normalise": True,
        "max_length": 16,
        "dtype": "float32",
        "prefix": "",
    }
    expected = combine(canonical_json(settings), model_fingerprint(tiny_bert))
    assert SPEC.fingerprint(tiny_bert) == expected
