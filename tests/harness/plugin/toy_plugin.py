"""A third-party package as its author would write it, and every way in which one can go wrong."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmark.core.journal import Journal
from benchmark.core.learner import Learner, Outcome, Run, TestTexts, register_learner
from benchmark.core.method import Selector, register
from benchmark.core.needs import Needs
from benchmark.core.pool import Pool


@register("first")
class First(Selector):
    """Take the first rows of each class."""

    deterministic = True

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        return range(size)


@register("flagged")
class Flagged(Selector):
    """Fails while the file that `TOY_FLAG` names is there."""

    deterministic = True

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        if Path(os.environ["TOY_FLAG"]).exists():
            raise ValueError("the flag is up")
        return range(size)


@register("miscounting")
class Miscounting(Selector):
    """Returns a row too many."""

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        return range(size + 1)


@register("outside")
class Outside(Selector):
    """Returns rows that its pool does not have."""

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        return range(len(pool), len(pool) + size)


@register("hanging")
class Hanging(Selector):
    """Never comes back."""

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        time.sleep(600)
        return range(size)


@register("hungry")
class Hungry(Selector):
    """Uses 1.6 GB and stays."""

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        held = np.ones(200_000_000)
        time.sleep(600)
        return range(int(held[0]) * size)


@register("dying")
class Dying(Selector):
    """Ends its process without a word, as a crash in C code does."""

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        os._exit(9)


@register("exiting")
class Exiting(Selector):
    """Believes that it is a program."""

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        sys.exit(0)


@register("parent")
class Parent(Selector):
    """Starts a process, as `what` says, and writes its number into the file `TOY_CHILD`."""

    what: str = "pool"

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        if self.what == "pool":
            with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as others:
                return list(others.map(int, range(size)))
        child = os.fork()
        if child == 0:
            if self.what == "leaver":
                os.setsid()
            held = np.ones(200_000_000) if self.what == "hungry" else None
            time.sleep(120)
            os._exit(held is None)
        Path(os.environ["TOY_CHILD"]).write_text(str(child))
        time.sleep(600)
        return range(size)


@register("patient")
class Patient(Selector):
    """Makes no set before something has been trained in the store `TOY_STORE`."""

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        store, until = os.environ["TOY_STORE"], time.monotonic() + 60
        while time.monotonic() < until:
            with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as rows:
                if rows.execute("select count(*) from runs where status = 'ok'").fetchone()[0]:
                    return rng.choice(len(pool), size, replace=False)
            time.sleep(0.1)
        raise TimeoutError("nothing was trained while it waited")


@register("vandal")
class Vandal(Selector):
    """Changes what it was given to read, as `what` says."""

    what: str = "labels"
    encoder: str = "tiny"

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        if self.what == "texts":
            for texts in pool.texts().values():
                texts.reverse()
        elif self.what == "unlocked labels":
            pool.labels.setflags(write=True)
            pool.labels[:] = 0
        else:
            arrays = {"labels": pool.labels, "indices": pool.indices}
            array = pool.embed(self.encoder) if self.what == "features" else arrays[self.what]
            array[:] = 0
        return range(size)


@register("reseeding")
class Reseeding(Selector):
    """Seeds every global generator, and draws from them."""

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        reseed()
        return np.random.permutation(len(pool))[:size]


@register("learning")
class Learning(Selector):
    """Learns something once, and writes down how it went."""

    rate: float = 0.5

    def prepare(self, pool: Pool, rng: np.random.Generator, folder: Path) -> None:
        journal = Journal(folder)
        with journal.phase("thinking"):
            for step in range(1, 4):
                journal.log("loss", step, self.rate**step)
        journal.find("insight", 0.75)

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        return rng.choice(len(pool), size, replace=False)


@register("file-seeker")
class FileSeeker(Selector):
    """Opens a file that is not there."""

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        Path("no-such-checkpoint.bin").read_bytes()
        return range(size)


def scores(run: Run, test: TestTexts) -> np.ndarray:
    """Random scores that depend on the run's seed alone."""
    return np.random.default_rng(run.seed).random((len(test), len(test.classes)))


def reseed() -> None:
    """Seed every global generator there is."""
    import torch

    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)


@register_learner("vandal")
class VandalLearner(Learner):
    """Seeds the global generators, and turns the test texts round."""

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        reseed()
        for texts in test.columns.values():
            texts.reverse()  # type: ignore[attr-defined]
        for run in runs:
            yield Outcome(scores(run, test))


@register_learner("falling-asleep")
class FallingAsleep(Learner):
    """Never comes back from its third run."""

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        for number, run in enumerate(runs):
            if number == 2:
                time.sleep(600)
            yield Outcome(scores(run, test))


@register_learner("leaking")
class Leaking(Learner):
    """Keeps 0.2 GB more with each run."""

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        kept = []
        for run in runs:
            kept.append(np.ones(25_000_000))
            time.sleep(0.5)
            yield Outcome(scores(run, test))


@register_learner("coin")
class Coin(Learner):
    """Tosses a coin, and takes `TOY_NAP` seconds for it."""

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        for run in runs:
            time.sleep(float(os.environ.get("TOY_NAP", "0")))
            yield Outcome(scores(run, test))


@register_learner("half-gpu")
class HalfGpu(Learner):
    """Wants half a GPU, and writes down which one it was given."""

    needs = Needs(gpus=0.5)

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        with Path(os.environ["TOY_LOG"]).open("a") as log:
            log.write(f"{os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
        for run in runs:
            yield Outcome(scores(run, test))


@register_learner("nan-once")
class NanOnce(Learner):
    """Diverges in its second run."""

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        for number, run in enumerate(runs):
            made = scores(run, test)
            if number == 1:
                made[3] = np.nan
            yield Outcome(made)


@register_learner("misshapen")
class Misshapen(Learner):
    """Leaves a test row out."""

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        for run in runs:
            yield Outcome(scores(run, test)[1:])


@register_learner("raising")
class Raising(Learner):
    """Raises in its third run."""

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        for number, run in enumerate(runs):
            if number == 2:
                raise ZeroDivisionError("third time unlucky")
            yield Outcome(scores(run, test))


@register_learner("sparing")
class Sparing(Learner):
    """Gives an outcome for its first run only."""

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        yield Outcome(scores(runs[0], test))
