"""The public conformance suite: what every method adapter must do, checked on toy pools.

In a test file of your own package::

    from benchmark.testing import parametrize_with_method_checks

    @parametrize_with_method_checks(["my-method", MyMethod(encoder="mpnet")])
    def test_conformance(method, check):
        check(method)

A check is a function of a method; it raises `AssertionError`, or whatever the method raised, and
`unittest.SkipTest` where it has nothing to say. `run_method_checks` runs them without pytest.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
import socket
import sys
import tempfile
import time
import unittest
import unittest.mock
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import BenchmarkError
from benchmark.core.keys import fingerprint_array, fingerprint_texts
from benchmark.core.method import METHODS, Budget, Method
from benchmark.core.parameters import build
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of

TOY_SECONDS = 30.0
CLASS_ONSETS = "bcdfghjklmnpqrstvwxz"  # one per class: 20 at most
WORD_ENDINGS = ("ando", "elim", "isor", "ovat", "uxen", "ylar")
COMMON_WORDS = ("the", "of", "and", "was", "is", "very", "some", "with")

Check = Callable[[Method], None]


@dataclass(frozen=True)
class CheckResult:
    """What one check found; `status` is `passed`, `failed` or `skipped`."""

    check: str
    title: str
    status: str
    reason: str = ""
    seconds: float = 0.0


def parametrize_with_method_checks(methods: Iterable[str | Method]) -> Callable[[Any], Any]:
    """Pytest decorator: call a test with every pair of `method` and `check`.

    `methods` are registered names (built with their default parameters) or instances.
    """
    import pytest

    cases = [
        pytest.param(method, check, id=f"{_title(method)}-{check.__name__}")
        for method in map(_resolve, methods)
        for check in CHECKS
    ]
    return pytest.mark.parametrize(("method", "check"), cases)


def run_method_checks(method: str | Method) -> list[CheckResult]:
    """Run every check on one method and say how each went; nothing is raised."""
    method = _resolve(method)
    results = []
    for check in CHECKS:
        status, reason, start = "passed", "", time.perf_counter()
        try:
            check(method)
        except unittest.SkipTest as skip:
            status, reason = "skipped", str(skip)
        except AssertionError as failure:
            status, reason = "failed", str(failure)
        except Exception as error:  # whatever an adapter raises is its failure, not ours
            status, reason = "failed", f"{type(error).__name__}: {error}"
        title = (check.__doc__ or "").partition("\n")[0]
        results.append(
            CheckResult(check.__name__, title, status, reason, time.perf_counter() - start)
        )
    return results


def toy_pool(n_classes: int = 3, per_class: int = 12, *, pair: bool = False) -> Pool:
    """Return a small pool: words of its class among common ones, and features for any encoder.

    As in real data, each class has one text twice. Features are read-only sums of word vectors,
    scaled to unit length, so equal texts have equal features.
    """
    rng = numpy_generator(seed_of("toy-pool", n_classes=n_classes, per_class=per_class, pair=pair))
    names = ("first", "second") if pair else ("text",)
    columns: dict[str, list[str]] = {name: [] for name in names}
    for onset in CLASS_ONSETS[:n_classes]:
        words = [onset + ending for ending in WORD_ENDINGS]
        for row in range(per_class):
            for texts in columns.values():
                drawn = [*rng.choice(words, 4), *rng.choice(COMMON_WORDS, 4)]
                again = row > 1 and row == per_class - 1
                texts.append(texts[-row] if again else " ".join(rng.permutation(drawn)))

    @functools.cache
    def embed(encoder: str) -> np.ndarray:
        rows = [" ".join(texts) for texts in zip(*columns.values(), strict=True)]
        features = np.array(
            [sum(_word_vector(encoder, word) for word in row.split()) for row in rows]
        )
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        features = features.astype(np.float32)
        features.setflags(write=False)
        return features

    labels = np.repeat(np.arange(n_classes), per_class)
    classes = [f"class {onset}" for onset in CLASS_ONSETS[:n_classes]]
    return Pool("toy-pair" if pair else "toy", columns, labels, classes, embed=embed)


def check_tags(method: Method) -> None:
    """Tags have known values, and the sets are of the level that the tag says."""
    _require(method.level in ("text", "embedding"), f"level is {method.level!r}")
    _require(method.budget in ("exact", "multiple", "none"), f"budget is {method.budget!r}")
    _require(isinstance(method.version, int), f"version is {method.version!r}, no whole number")
    level = _distil(method, toy_pool()).level
    _require(level == method.level, f"level is {method.level!r}, but the set's is {level!r}")


def check_right_count_per_class(method: Method) -> None:
    """Sets have the number of rows that the budget says, in each class."""
    for dpc in (1, 2, 5):
        _distil(method, toy_pool(), Budget.dpc(dpc, 3))


def check_uneven_budget(method: Method) -> None:
    """A budget that differs between classes is kept, or refused with a clear message."""
    with contextlib.suppress(BenchmarkError):
        _distil(method, toy_pool(), Budget((1, 3, 2)))


def check_only_known_labels(method: Method) -> None:
    """Labels are classes of the pool, under the same names in the same order."""
    pool = toy_pool()
    made = _make(method, pool)
    _require(
        made.classes == pool.classes, f"classes are {list(made.classes)}, not {list(pool.classes)}"
    )
    unknown = set(np.unique(made.hard_labels).tolist()) - set(range(len(pool.classes)))
    _require(not unknown, f"unknown labels {sorted(unknown)}")


def check_texts_are_not_empty(method: Method) -> None:
    """Every text has a non-space character; the columns are the pool's."""
    made = _make(method, toy_pool())
    if made.columns is None:
        raise unittest.SkipTest("an embedding-level set has no texts")
    _require(list(made.columns) == ["text"], f"columns are {list(made.columns)}, not ['text']")
    blank = [row for row, text in enumerate(made.columns["text"]) if not text.strip()]
    _require(not blank, f"rows {blank} are blank")


def check_same_rng_same_set(method: Method) -> None:
    """The same generator gives the same set, bit for bit, prepared anew or not."""
    hashes = {_make(method, toy_pool(), seed=1).content_hash for _ in range(2)}
    _require(len(hashes) == 1, "two calls with equal generators gave different sets")


def check_other_rng_other_set(method: Method) -> None:
    """Another generator gives another set, unless the method is tagged deterministic."""
    pool = toy_pool()
    with _prepared(method, pool) as state:
        hashes = {_make(method, pool, seed=seed, state=state).content_hash for seed in range(4)}
    if method.deterministic:
        _require(len(hashes) == 1, "tagged deterministic, but the generator changes the set")
    else:
        _require(len(hashes) > 1, "4 generators gave one set; is it deterministic?")


def check_global_rngs_untouched(method: Method) -> None:
    """The global generators of random, NumPy and torch are left as they were."""
    saved = _global_rngs()
    try:
        _make(method, toy_pool())  # a library that the method imports may seed itself now
        random.random()
        np.random.random()
        if "torch" in sys.modules:
            sys.modules["torch"].rand(1)
        before = _rng_bytes()
        _make(method, toy_pool())
        after = _rng_bytes()
    finally:
        for setter, state in saved:
            setter(state)
    changed = [name for name, state in before.items() if after[name] != state]
    _require(not changed, f"global generators drawn from or seeded: {', '.join(changed)}")


def check_pool_is_not_mutated(method: Method) -> None:
    """Texts, labels, indices and features of the pool are as before."""
    pool = toy_pool()
    encoders = method.encoders or ("minilm",)
    before = _pool_content(pool, encoders)
    _make(method, pool)
    after = _pool_content(pool, encoders)
    changed = [name for name, content in before.items() if after[name] != content]
    _require(not changed, f"the method changed the pool's {', '.join(changed)}")


def check_parameters_round_trip(method: Method) -> None:
    """Parameters survive JSON, and building from them gives an equal method."""
    params = method.params()
    rebuilt = _rebuilt(method)
    _require(rebuilt.params() == params, f"parameters {params} came back as {rebuilt.params()}")
    _require(rebuilt == method, "a method built from the same parameters is not equal")


def check_state_lies_in_its_folder(method: Method) -> None:
    """What `prepare` learned is all in its folder, and preparing it again does no harm."""
    if not method.needs_preparation:
        raise unittest.SkipTest("the method learns nothing once per pool")
    pool = toy_pool()
    hashes = []
    with _prepared(_rebuilt(method), pool) as state:
        hashes.append(_make(_rebuilt(method), pool, state=state).content_hash)
        _rebuilt(method).prepare(pool, _generator("prepare"), state)
        hashes.append(_make(_rebuilt(method), pool, state=state).content_hash)
    _require(hashes[0] == hashes[1], "preparing again in the same folder changed the sets")


def check_sentence_pairs(method: Method) -> None:
    """Pairs of texts stay pairs: both columns, in the pool's order, none blank."""
    pool = toy_pool(2, pair=True)
    made = _distil(method, pool)
    if made.columns is None:
        return
    _require(
        tuple(made.columns) == pool.text_columns,
        f"columns are {list(made.columns)}, not {list(pool.text_columns)}",
    )
    for name, texts in made.columns.items():
        _require(all(text.strip() for text in texts), f"column {name!r} has a blank text")


def check_two_to_twenty_classes(method: Method) -> None:
    """Tasks of 2, 7 and 20 classes work."""
    for n_classes in (2, 7, 20):
        _distil(method, toy_pool(n_classes, per_class=6))


def check_pool_smaller_than_budget(method: Method) -> None:
    """Fewer examples than the budget: the right count all the same, or a clear message."""
    try:
        _distil(method, toy_pool(2, per_class=3), Budget.dpc(5, 2))
    except BenchmarkError as error:
        _require(bool(str(error)), f"{type(error).__name__} without a message")


def check_works_offline(method: Method) -> None:
    """No connection is tried: an adapter gets its data and models from the harness."""
    attempts: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        if self.family == getattr(socket, "AF_UNIX", None):
            return real_connect(self, address)  # between processes of one machine
        attempts.append(address)
        raise OSError("the network is blocked during this check")

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> None:
        attempts.append(host)
        raise OSError("the network is blocked during this check")

    real_connect = socket.socket.connect
    failure = None
    with (
        unittest.mock.patch.object(socket.socket, "connect", connect),
        unittest.mock.patch.object(socket, "getaddrinfo", getaddrinfo),
    ):
        try:
            _make(method, toy_pool())
        except Exception as error:
            failure = error
    _require(not attempts, f"tried to reach {attempts[0] if attempts else None!r}")
    if failure is not None:
        raise failure


def check_seconds_on_a_toy_pool(method: Method) -> None:
    """One set of a toy pool takes seconds, preparation included."""
    start = time.perf_counter()
    _make(method, toy_pool())
    seconds = time.perf_counter() - start
    _require(seconds < TOY_SECONDS, f"{seconds:.0f} s for one toy set, {TOY_SECONDS:.0f} allowed")


CHECKS: tuple[Check, ...] = (
    check_tags,
    check_right_count_per_class,
    check_uneven_budget,
    check_only_known_labels,
    check_texts_are_not_empty,
    check_same_rng_same_set,
    check_other_rng_other_set,
    check_global_rngs_untouched,
    check_pool_is_not_mutated,
    check_parameters_round_trip,
    check_state_lies_in_its_folder,
    check_sentence_pairs,
    check_two_to_twenty_classes,
    check_pool_smaller_than_budget,
    check_works_offline,
    check_seconds_on_a_toy_pool,
)


def _require(condition: bool, message: str) -> None:
    """An assertion that `python -O` keeps."""
    if not condition:
        raise AssertionError(message)


def _resolve(method: str | Method) -> Method:
    return METHODS.build(method) if isinstance(method, str) else method


def _title(method: Method) -> str:
    return method.name or type(method).__name__


def _rebuilt(method: Method) -> Method:
    """Build the method again from its parameters as JSON text, as another process does."""
    params = json.loads(json.dumps(method.params()))
    if method.name in METHODS.names():
        return METHODS.build(method.name, params)
    return build(type(method), _title(method), params)


def _generator(purpose: str, seed: int = 0) -> np.random.Generator:
    return numpy_generator(seed_of(f"method-check-{purpose}", seed=seed))


@contextlib.contextmanager
def _prepared(method: Method, pool: Pool) -> Iterator[Path | None]:
    """Give the folder that the method prepared, or None if it has nothing to learn."""
    if not method.needs_preparation:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="method-check-") as folder:
        method.prepare(pool, _generator("prepare"), Path(folder))
        yield Path(folder)


def _make(
    method: Method,
    pool: Pool,
    budget: Budget | None = None,
    *,
    seed: int = 0,
    state: Path | None = None,
) -> DistilledSet:
    """Make one set, 2 examples per class by default; prepare first where no state is given."""
    budget = budget or Budget.dpc(2, len(pool.classes))
    with contextlib.ExitStack() as stack:
        if state is None:
            state = stack.enter_context(_prepared(method, pool))
        return method.distil(pool, budget, _generator("distil", seed), state)


def _distil(method: Method, pool: Pool, budget: Budget | None = None) -> DistilledSet:
    """Make one set and require the number of rows that budget and tag ask for."""
    budget = budget or Budget.dpc(2, len(pool.classes))
    made = _make(method, pool, budget)
    asked = np.array(budget.per_class)
    if made.is_soft:  # a learned label need not be most probable in its own class
        got, asked = np.array([len(made)]), asked.sum(keepdims=True)
    else:
        got = np.bincount(made.hard_labels, minlength=len(asked))
    right = {
        "exact": np.array_equal(got, asked),
        "multiple": (got > 0).all() and (got % asked == 0).all(),
        "none": (got > 0).all(),
    }[method.budget]
    _require(
        bool(right),
        f"{got.tolist()} rows per class for a budget of {asked.tolist()} ({method.budget})",
    )
    return made


@functools.cache
def _word_vector(encoder: str, word: str) -> np.ndarray:
    return numpy_generator(seed_of("toy-word", encoder=encoder, word=word)).standard_normal(16)


def _pool_content(pool: Pool, encoders: Iterable[str]) -> dict[str, str]:
    fresh = pool.subset(np.arange(len(pool)))  # a pool remembers its labels; this one looks again
    content = {
        "texts": fingerprint_texts(fresh.texts()),
        "labels": fingerprint_array(fresh.labels),
        "indices": fingerprint_array(fresh.indices),
        "classes": " | ".join(pool.classes),
        "fingerprint": pool.fingerprint,
    }
    return content | {f"{name} features": fingerprint_array(pool.embed(name)) for name in encoders}


def _global_rngs() -> list[tuple[Callable[[Any], Any], Any]]:
    """Setters of the global generators with their present states."""
    states: list[tuple[Callable[[Any], Any], Any]] = [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),
    ]
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        states.append((torch.set_rng_state, torch.get_rng_state()))
    return states


def _rng_bytes() -> dict[str, bytes]:
    """States of the global generators, comparable."""
    state = np.random.get_state(legacy=False)
    states = {
        "random": repr(random.getstate()).encode(),
        "numpy.random": state["state"]["key"].tobytes() + repr(state["state"]["pos"]).encode(),
    }
    if "torch" in sys.modules:
        states["torch"] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states
