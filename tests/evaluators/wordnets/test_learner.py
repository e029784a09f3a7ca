"""TextCNN and TextRNN as learners: the paper's recipe; runs know nothing of each other."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_vectors import WORDS, review, vectors_of_words, write_vectors  # noqa: E402

from benchmark.core.distilled import DistilledSet  # noqa: E402
from benchmark.core.errors import InputError  # noqa: E402
from benchmark.core.learner import LEARNERS, Run, TestTexts, build_learner  # noqa: E402
from benchmark.core.seeding import numpy_generator  # noqa: E402
from evaluators.wordnets import learner as learner_module  # noqa: E402

SMALL = {
    "text-cnn": {"model": "tiny", "filters": 7, "widths": (3, 4, 5)},
    "text-rnn": {"model": "tiny", "hidden": 5, "layers": 2},
}
LEARNER = pytest.mark.parametrize("name", SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_vectors(tmp_path_factory.mktemp("vectors"), vectors_of_words())


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


def test_pairs_are_trained_on(folder):
    columns = {"question": ["good film", "bad film"], "text": ["very good", "very bad"]}
    distilled = DistilledSet.of_texts(columns, [1, 0], ("c0", "c1"))
    test = make_test(["good", "bad"], question=["a film", "a film"])
    (outcome,) = outcomes_of(learner_of("text-cnn"), [Run(distilled, 0)], test, folder)
    assert outcome.scores.shape == (2, 2)


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
