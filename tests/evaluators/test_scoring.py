"""The fast scores equal the `evaluate` modules, which rest on scikit-learn."""

import time
from pathlib import Path

import numpy as np
import pytest

import evaluators
from benchmark.core.errors import InputError
from benchmark.core.task import METRICS
from evaluators.scoring import confusion_matrix, primary, score

MODULE = Path(evaluators.__file__).parent / "metrics" / "text_classification.py"


@pytest.fixture(scope="module")
def local_metrics(tmp_path_factory):
    """The local `evaluate` modules by configuration name; the hub is never asked."""
    evaluate = pytest.importorskip("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        modules = tmp_path_factory.mktemp("modules")
        patch.setattr("evaluate.loading.init_dynamic_modules", dynamic_modules(evaluate, modules))
        yield {
            name: evaluate.load(str(MODULE), name, keep_in_memory=True, cache_dir=str(modules))
            for name in METRICS
        }


def dynamic_modules(evaluate, folder):
    """Keep `evaluate`'s copy of the module out of the home directory."""
    original = evaluate.loading.init_dynamic_modules
    return lambda *_args, **_kwargs: original(hf_modules_cache=str(folder))


def by_evaluate(metrics, predictions, labels, n_classes):
    names = [name for name in METRICS if name != "accuracy_f1" or n_classes == 2]
    scores = {}
    for name in names:
        scores |= metrics[name].compute(predictions=predictions, references=labels)
    return scores


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize("n_classes", [2, 3, 6, 20, 77])
@pytest.mark.parametrize("n_rows", [1, 7, 500])
def test_equal_to_the_evaluate_modules_on_random_data(local_metrics, n_classes, n_rows):
    rng = np.random.default_rng([n_classes, n_rows])
    for skill in (0.0, 0.6, 1.0):
        labels = rng.choice(n_classes, n_rows, p=rng.dirichlet(np.ones(n_classes)))
        guesses = rng.integers(n_classes, size=n_rows)
        predictions = np.where(rng.random(n_rows) < skill, labels, guesses)
        expected = by_evaluate(local_metrics, predictions, labels, n_classes)
        assert score("accuracy", predictions, labels, n_classes) == pytest.approx(
            expected, abs=1e-12
        )


@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize(
    ("predictions", "labels", "n_classes"),
    [
        ([0, 0, 0], [0, 0, 0], 2),  # one class throughout: no positive, no correlation
        ([1, 1, 1], [1, 1, 1], 2),
        ([0, 0, 0], [1, 1, 1], 2),
        ([1, 1, 1, 1], [0, 1, 0, 1], 2),  # a learner that has collapsed
        ([0, 0, 0, 0], [0, 1, 0, 1], 2),
        ([2, 2, 2], [0, 1, 0], 4),  # a class predicted that has no labels, one seen nowhere
        ([3, 3, 0, 1], [3, 3, 0, 0], 5),
    ],
)
def test_edge_cases_as_in_scikit_learn(local_metrics, predictions, labels, n_classes):
    expected = by_evaluate(local_metrics, predictions, labels, n_classes)
    scores = score("accuracy", predictions, labels, n_classes)
    assert scores == pytest.approx(expected, abs=1e-12)
    assert all(np.isfinite(value) for value in scores.values())


def test_by_hand():
    scores = score("accuracy_f1", [0, 1, 1, 1], [0, 1, 0, 1], 2)
    assert scores == pytest.approx(
        {
            "accuracy": 3 / 4,
            "f1": 4 / 5,
            "accuracy_f1": 0.775,
            "macro_f1": (2 / 3 + 4 / 5) / 2,
            "matthews": 1 / np.sqrt(3),
        }
    )
    assert all(type(value) is float for value in scores.values())
    assert confusion_matrix([0, 1, 1, 1], [0, 1, 0, 1], 2).tolist() == [[1, 1], [0, 2]]


def test_primary_is_the_tasks_metric():
    scores = score("matthews", [0, 1, 1, 1], [0, 1, 0, 1], 2)
    assert [primary(metric, scores) for metric in METRICS] == [scores[m] for m in METRICS]
    assert set(score("macro_f1", [0, 1, 2], [0, 1, 1], 3)) == {"accuracy", "macro_f1", "matthews"}


def test_small_integer_types_do_not_overflow():
    labels = np.arange(77).repeat(3)
    expected = score("accuracy", np.roll(labels, 1), labels, 77)
    assert score("accuracy", np.roll(labels, 1).astype(np.uint8), labels.astype(np.int8), 77) == (
        expected
    )


def test_an_unfit_metric_is_an_input_error():
    with pytest.raises(InputError, match="Did you mean 'matthews'"):
        score("mathews", [0], [0], 2)
    with pytest.raises(InputError, match="needs two classes, not 3"):
        score("accuracy_f1", [0], [0], 3)
    with pytest.raises(InputError, match="unknown metric"):
        primary("accuracy_f1", score("accuracy", [0], [0], 3))


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ([0, 1], [0], "2 predictions for 1 labels"),
        ([0, 2], [0, 1], "indices 0 to 2 for 2 classes"),
        ([0, 1], [0, -1], "indices -1 to 0 for 2 classes"),
        ([], [], "filled vector"),
        ([0.0, 1.0], [0, 1], "float64"),
    ],
)
def test_what_is_no_class_index_is_refused(predictions, labels, message):
    with pytest.raises(ValueError, match=message):
        score("accuracy", predictions, labels, 2)


def test_the_module_names_its_metrics_when_asked_for_another(local_metrics):
    evaluate = pytest.importorskip("evaluate")
    with pytest.raises(KeyError, match="accuracy_f1, matthews"):
        evaluate.load(str(MODULE), "bleu")


def test_25000_rows_in_milliseconds():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(2, size=(2, 25_000))
    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        score("accuracy", predictions, labels, 2)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.003
