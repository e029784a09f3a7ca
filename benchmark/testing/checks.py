"""The checks: each is a function of a method and raises where the method falls short."""

from __future__ import annotations

import contextlib
import random
import socket
import sys
import time
import unittest
import unittest.mock
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.core.method import Budget, Method
from benchmark.testing.making import (
    distil,
    generator,
    global_rngs,
    make,
    pool_content,
    prepared,
    rebuilt,
    require,
    rng_bytes,
)
from benchmark.testing.toys import toy_pool

TOY_SECONDS = 30.0

Check = Callable[[Method], None]


def check_tags(method: Method) -> None:
    """Tags have known values, and the sets are of the level that the tag says."""
    require(method.level in ("text", "embedding"), f"level is {method.level!r}")
    require(method.budget in ("exact", "multiple", "none"), f"budget is {method.budget!r}")
    require(isinstance(method.version, int), f"version is {method.version!r}, no whole number")
    level = distil(method, toy_pool()).level
    require(level == method.level, f"level is {method.level!r}, but the set's is {level!r}")


def check_right_count_per_class(method: Method) -> None:
    """Sets have the number of rows that the budget says, in each class."""
    for dpc in (1, 2, 5):
        distil(method, toy_pool(), Budget.dpc(dpc, 3))


def check_uneven_budget(method: Method) -> None:
    """A budget that differs between classes is kept, or refused with a clear message."""
    with contextlib.suppress(BenchmarkError):
        distil(method, toy_pool(), Budget((1, 3, 2)))


def check_only_known_labels(method: Method) -> None:
    """Labels are classes of the pool, under the same names in the same order."""
    pool = toy_pool()
    made = make(method, pool)
    require(
        made.classes == pool.classes, f"classes are {list(made.classes)}, not {list(pool.classes)}"
    )
    unknown = set(np.unique(made.hard_labels).tolist()) - set(range(len(pool.classes)))
    require(not unknown, f"unknown labels {sorted(unknown)}")


def check_texts_are_not_empty(method: Method) -> None:
    """Every text has a non-space character; the columns are the pool's."""
    made = make(method, toy_pool())
    if made.columns is None:
        raise unittest.SkipTest("an embedding-level set has no texts")
    require(list(made.columns) == ["text"], f"columns are {list(made.columns)}, not ['text']")
    blank = [row for row, text in enumerate(made.columns["text"]) if not text.strip()]
    require(not blank, f"rows {blank} are blank")


def check_same_rng_same_set(method: Method) -> None:
    """The same generator gives the same set, bit for bit, prepared anew or not."""
    hashes = {make(method, toy_pool(), seed=1).content_hash for _ in range(2)}
    require(len(hashes) == 1, "two calls with equal generators gave different sets")


def check_other_rng_other_set(method: Method) -> None:
    """Another generator gives another set, unless the method is tagged deterministic."""
    pool = toy_pool()
    with prepared(method, pool) as state:
        hashes = {make(method, pool, seed=seed, state=state).content_hash for seed in range(4)}
    if method.deterministic:
        require(len(hashes) == 1, "tagged deterministic, but the generator changes the set")
    else:
        require(len(hashes) > 1, "4 generators gave one set; is it deterministic?")


def check_global_rngs_untouched(method: Method) -> None:
    """The global generators of random, NumPy and torch are left as they were."""
    saved = global_rngs()
    try:
        make(method, toy_pool())  # a library that the method imports may seed itself now
        random.random()
        np.random.random()
        if "torch" in sys.modules:
            sys.modules["torch"].rand(1)
        before = rng_bytes()
        make(method, toy_pool())
        after = rng_bytes()
    finally:
        for setter, state in saved:
            setter(state)
    changed = [name for name, state in before.items() if after[name] != state]
    require(not changed, f"global generators drawn from or seeded: {', '.join(changed)}")


def check_pool_is_not_mutated(method: Method) -> None:
    """Texts, labels, indices and features of the pool are as before."""
    pool = toy_pool()
    encoders = method.encoders or ("minilm",)
    before = pool_content(pool, encoders)
    make(method, pool)
    after = pool_content(pool, encoders)
    changed = [name for name, content in before.items() if after[name] != content]
    require(not changed, f"the method changed the pool's {', '.join(changed)}")


def check_parameters_round_trip(method: Method) -> None:
    """Parameters survive JSON, and building from them gives an equal method."""
    params = method.params()
    again = rebuilt(method)
    require(again.params() == params, f"parameters {params} came back as {again.params()}")
    require(again == method, "a method built from the same parameters is not equal")


def check_state_lies_in_its_folder(method: Method) -> None:
    """What `prepare` learned is all in its folder, and preparing it again does no harm."""
    if not method.needs_preparation:
        raise unittest.SkipTest("the method learns nothing once per pool")
    pool = toy_pool()
    hashes = []
    with prepared(rebuilt(method), pool) as state:
        hashes.append(make(rebuilt(method), pool, state=state).content_hash)
        rebuilt(method).prepare(pool, generator("prepare"), state)
        hashes.append(make(rebuilt(method), pool, state=state).content_hash)
    require(hashes[0] == hashes[1], "preparing again in the same folder changed the sets")


def check_sentence_pairs(method: Method) -> None:
    """Pairs of texts stay pairs: both columns, in the pool's order, none blank."""
    pool = toy_pool(2, pair=True)
    made = distil(method, pool)
    if made.columns is None:
        return
    require(
        tuple(made.columns) == pool.text_columns,
        f"columns are {list(made.columns)}, not {list(pool.text_columns)}",
    )
    for name, texts in made.columns.items():
        require(all(text.strip() for text in texts), f"column {name!r} has a blank text")


def check_two_to_twenty_classes(method: Method) -> None:
    """Tasks of 2, 7 and 20 classes work."""
    for n_classes in (2, 7, 20):
        distil(method, toy_pool(n_classes, per_class=6))


def check_pool_smaller_than_budget(method: Method) -> None:
    """Fewer examples than the budget: the right count all the same, or a clear message."""
    try:
        distil(method, toy_pool(2, per_class=3), Budget.dpc(5, 2))
    except BenchmarkError as error:
        require(bool(str(error)), f"{type(error).__name__} without a message")


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
            make(method, toy_pool())
        except Exception as error:
            failure = error
    require(not attempts, f"tried to reach {attempts[0] if attempts else None!r}")
    if failure is not None:
        raise failure


def check_seconds_on_a_toy_pool(method: Method) -> None:
    """One set of a toy pool takes seconds, preparation included."""
    start = time.perf_counter()
    make(method, toy_pool())
    seconds = time.perf_counter() - start
    require(seconds < TOY_SECONDS, f"{seconds:.0f} s for one toy set, {TOY_SECONDS:.0f} allowed")


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
