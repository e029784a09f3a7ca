"""The conformance suite passes on the built-in selectors and catches adapters that are wrong."""

import contextlib
import socket
import time
from dataclasses import dataclass

import numpy as np
import pytest

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import InputError
from benchmark.core.method import Generator, Selector
from benchmark.testing import checks, parametrize_with_method_checks, run_method_checks

BUILT_IN = ["random", "k-centers", "k-center-greedy", "herding", "full"]


@parametrize_with_method_checks(BUILT_IN)
def test_built_in_selectors(method, check):
    check(method)


class First(Selector):
    """A good deterministic selector, spoilt by each of the classes below."""

    deterministic = True

    def select(self, pool, size, rng):
        return range(size)


class Echo(Generator):
    """A good generator; what it writes is drawn from the pool."""

    def generate(self, pool, label, size, rng, state):
        rows = rng.choice(np.flatnonzero(pool.labels == label), size)
        return pool.texts(rows)


class OneTooMany(First):
    def select(self, pool, size, rng):
        return range(size + 1)


class OneTooFew(First):
    """Goes round the base class, which would have noticed."""

    def distil(self, pool, budget, rng, state=None):
        made = super().distil(pool, budget, rng)
        return DistilledSet.of_texts(
            {name: texts[:-1] for name, texts in made.columns.items()},
            made.labels[:-1],
            made.classes,
        )


class EditsTexts(First):
    def select(self, pool, size, rng):
        for texts in pool._columns.values():
            texts[0] += " edited"
        return range(size)


class EditsLabels(First):
    def distil(self, pool, budget, rng, state=None):
        made = super().distil(pool, budget, rng)
        pool._labels[0] = 1
        return made


class DrawsFromGlobalNumpy(First):
    deterministic = False

    def select(self, pool, size, rng):
        return np.random.permutation(len(pool))[:size]


class SeedsGlobalNumpy(First):
    """As the released DiLM code: the sets repeat, and so does everything after them."""

    def select(self, pool, size, rng):
        np.random.seed(0)
        return np.random.permutation(len(pool))[:size]


class DrawsFromGlobalTorch(First):
    def select(self, pool, size, rng):
        import torch

        torch.rand(1)
        return range(size)


class UnknownLabel(Echo):
    def distil(self, pool, budget, rng, state=None):
        made = super().distil(pool, budget, rng)
        return DistilledSet.of_texts(made.columns, made.labels + 1, made.classes)


class UnknownClass(Echo):
    """The label is in range, of classes that the pool does not have."""

    def distil(self, pool, budget, rng, state=None):
        made = super().distil(pool, budget, rng)
        labels = np.where(made.labels == 0, len(pool.classes), made.labels)
        return DistilledSet.of_texts(made.columns, labels, [*made.classes, "other"])


class BlankTexts(Echo):
    def generate(self, pool, label, size, rng, state):
        return {name: [" "] * size for name in pool.text_columns}


class ForgetsSecondText(Echo):
    def distil(self, pool, budget, rng, state=None):
        made = super().distil(pool, budget, rng)
        name = pool.text_columns[0]
        return DistilledSet.of_texts({name: made.columns[name]}, made.labels, made.classes)


class TwoClassesOnly(First):
    def distil(self, pool, budget, rng, state=None):
        if len(pool.classes) > 3:
            raise IndexError("list index out of range")
        return super().distil(pool, budget, rng)


class Unrepeatable(Echo):
    def generate(self, pool, label, size, rng, state):
        return super().generate(pool, label, size, np.random.default_rng(), state)


class NotDeterministicAsTagged(Echo):
    deterministic = True


class IgnoresItsGenerator(First):
    deterministic = False


class WrongLevel(First):
    level = "embedding"


class ShortOfExamples(First):
    """Gives what there is where the class is too small."""

    def distil(self, pool, budget, rng, state=None):
        rows = np.concatenate(
            [np.flatnonzero(pool.labels == c)[:n] for c, n in enumerate(budget.per_class)]
        )
        return DistilledSet.of_texts(pool.texts(rows), pool.labels[rows], pool.classes)


class PhonesHome(First):
    """Falls back in silence where there is no network."""

    def select(self, pool, size, rng):
        with contextlib.suppress(OSError):
            socket.create_connection(("192.0.2.1", 9), timeout=0.01).close()
        return range(size)


class Slow(First):
    def select(self, pool, size, rng):
        time.sleep(0.02)
        return range(size)


class StateInMemory(Echo):
    """Keeps what it learned beside its folder; another process would not find it."""

    def prepare(self, pool, rng, folder):
        object.__setattr__(self, "learned", 1)

    def generate(self, pool, label, size, rng, state):
        _ = self.learned
        return super().generate(pool, label, size, rng, state)


class StateInFolder(Echo):
    """A good method with something to learn."""

    def prepare(self, pool, rng, folder):
        (folder / "words.txt").write_text(str(rng.integers(1000)))

    def generate(self, pool, label, size, rng, state):
        word = (state / "words.txt").read_text()
        texts = super().generate(pool, label, size, rng, state)
        return {name: [f"{text} {word}" for text in column] for name, column in texts.items()}


def failures(method):
    return {
        result.check: result for result in run_method_checks(method) if result.status == "failed"
    }


@pytest.mark.parametrize(
    "method", [First(), Echo(), StateInFolder()], ids=lambda m: type(m).__name__
)
def test_good_adapters_pass(method):
    assert failures(method) == {}


@pytest.mark.parametrize(
    ("bad", "check", "words"),
    [
        (OneTooMany, "check_right_count_per_class", "2 rows"),
        (OneTooFew, "check_right_count_per_class", "[1, 1, 0] rows per class"),
        (OneTooFew, "check_uneven_budget", "[1, 3, 1] rows per class"),
        (EditsTexts, "check_pool_is_not_mutated", "pool's texts"),
        (EditsLabels, "check_pool_is_not_mutated", "pool's labels"),
        (DrawsFromGlobalNumpy, "check_global_rngs_untouched", "numpy.random"),
        (DrawsFromGlobalNumpy, "check_same_rng_same_set", "different sets"),
        (SeedsGlobalNumpy, "check_global_rngs_untouched", "numpy.random"),
        (DrawsFromGlobalTorch, "check_global_rngs_untouched", "torch"),
        (UnknownLabel, "check_only_known_labels", "label 3 is outside"),
        (UnknownClass, "check_only_known_labels", "'other'"),
        (BlankTexts, "check_texts_are_not_empty", "the text is empty"),
        (ForgetsSecondText, "check_sentence_pairs", "['first']"),
        (TwoClassesOnly, "check_two_to_twenty_classes", "IndexError"),
        (Unrepeatable, "check_same_rng_same_set", "different sets"),
        (NotDeterministicAsTagged, "check_other_rng_other_set", "tagged deterministic"),
        (IgnoresItsGenerator, "check_other_rng_other_set", "is it deterministic?"),
        (WrongLevel, "check_tags", "the set's is 'text'"),
        (ShortOfExamples, "check_pool_smaller_than_budget", "[3, 3] rows per class"),
        (PhonesHome, "check_works_offline", "192.0.2.1"),
        (StateInMemory, "check_state_lies_in_its_folder", "learned"),
    ],
)
def test_a_bad_adapter_is_caught_by_the_check_for_it(bad, check, words):
    found = failures(bad())
    assert check in found, f"only {sorted(found)} failed"
    assert words in found[check].reason


@pytest.mark.parametrize(
    "bad",
    [EditsLabels, SeedsGlobalNumpy, ForgetsSecondText, TwoClassesOnly, IgnoresItsGenerator],
)
def test_only_the_check_for_it_fails(bad):
    assert len(failures(bad())) == 1


def test_a_slow_adapter_is_caught(monkeypatch):
    monkeypatch.setattr(checks, "TOY_SECONDS", 0.01)
    assert "check_seconds_on_a_toy_pool" in failures(Slow())


def test_parameters_that_are_not_data_are_caught():
    @dataclass(frozen=True)
    class Odd(First):
        table: object = frozenset({1})

    found = failures(Odd())
    assert list(found) == ["check_parameters_round_trip"]
    assert "JSON" in found["check_parameters_round_trip"].reason


def test_checks_put_back_what_they_touch():
    state = np.random.get_state()[1].tolist()
    with pytest.raises(AssertionError):
        checks.check_global_rngs_untouched(SeedsGlobalNumpy())
    assert np.random.get_state()[1].tolist() == state
    with pytest.raises(AssertionError):
        checks.check_works_offline(PhonesHome())
    assert "connect" not in vars(socket.socket)


def test_a_name_is_looked_up():
    results = run_method_checks("random")
    assert [result.check for result in results] == [check.__name__ for check in checks.CHECKS]
    assert all(result.title for result in results)
    assert {result.status for result in results} == {"passed", "skipped"}
    with pytest.raises(InputError, match="Did you mean 'herding'"):
        parametrize_with_method_checks(["herdnig"])
