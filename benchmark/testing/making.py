"""What the checks do with a method: make sets, and look at what it left behind."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.keys import fingerprint_array, fingerprint_texts
from benchmark.core.method import METHODS, Budget, Method
from benchmark.core.parameters import build
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of


def require(condition: bool, message: str) -> None:
    """An assertion that `python -O` keeps."""
    if not condition:
        raise AssertionError(message)


def title(method: Method) -> str:
    return method.name or type(method).__name__


def rebuilt(method: Method) -> Method:
    """Build the method again from its parameters as JSON text, as another process does."""
    params = json.loads(json.dumps(method.params()))
    if method.name in METHODS.names():
        return METHODS.build(method.name, params)
    return build(type(method), title(method), params)


def generator(purpose: str, seed: int = 0) -> np.random.Generator:
    return numpy_generator(seed_of(f"method-check-{purpose}", seed=seed))


@contextlib.contextmanager
def prepared(method: Method, pool: Pool) -> Iterator[Path | None]:
    """Give the folder that the method prepared, or None if it has nothing to learn."""
    if not method.needs_preparation:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="method-check-") as root:
        folder = Path(root) / "state"  # parts that methods share lie beside it
        folder.mkdir()
        method.prepare(pool, generator("prepare"), folder)
        yield folder


def make(
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
            state = stack.enter_context(prepared(method, pool))
        return method.distil(pool, budget, generator("distil", seed), state)


def distil(method: Method, pool: Pool, budget: Budget | None = None) -> DistilledSet:
    """Make one set and require the number of rows that budget and tag ask for."""
    budget = budget or Budget.dpc(2, len(pool.classes))
    made = make(method, pool, budget)
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
    require(
        bool(right),
        f"{got.tolist()} rows per class for a budget of {asked.tolist()} ({method.budget})",
    )
    return made


def pool_content(pool: Pool, encoders: Iterable[str]) -> dict[str, str]:
    fresh = pool.subset(np.arange(len(pool)))  # a pool remembers its labels; this one looks again
    content = {
        "texts": fingerprint_texts(fresh.texts()),
        "labels": fingerprint_array(fresh.labels),
        "indices": fingerprint_array(fresh.indices),
        "classes": " | ".join(pool.classes),
        "fingerprint": pool.fingerprint,
    }
    return content | {f"{name} features": fingerprint_array(pool.embed(name)) for name in encoders}


def global_rngs() -> list[tuple[Callable[[Any], Any], Any]]:
    """Setters of the global generators with their present states."""
    states: list[tuple[Callable[[Any], Any], Any]] = [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),
    ]
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        states.append((torch.set_rng_state, torch.get_rng_state()))
    return states


def rng_bytes() -> dict[str, bytes]:
    """States of the global generators, comparable."""
    state = np.random.get_state(legacy=False)
    states = {
        "random": repr(random.getstate()).encode(),
        "numpy.random": state["state"]["key"].tobytes() + repr(state["state"]["pos"]).encode(),
    }
    if "torch" in sys.modules:
        states["torch"] = sys.modules["torch"].get_rng_state().numpy().tobytes()
    return states
