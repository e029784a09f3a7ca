"""The work itself: make one set, train the runs of one cell. Pure functions of a job and a library.

They run in any process. They write only content-addressed files (sets, features, states) and hand
everything else back as messages; the driver alone writes rows.
"""

from __future__ import annotations

import errno
import math
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.data import TaskData
from benchmark.core.distilled import DistilledSet
from benchmark.core.effort import words_of
from benchmark.core.errors import BenchmarkError, DamagedFileError, UnavailableError
from benchmark.core.freed_memory import give_back
from benchmark.core.learner import Learner, Outcome, Run, TestTexts, build_learner
from benchmark.core.library import Library
from benchmark.core.method import METHODS, Budget, Method
from benchmark.core.pool import Pool
from benchmark.core.records import UNAVAILABLE, RunRecord, SetRecord, Status
from benchmark.core.seeding import numpy_generator, seed_of
from benchmark.core.states import NOTE, SECONDS, preparation_facts, prepare_state
from benchmark.environment import describe_environment
from benchmark.set_facts import set_facts
from benchmark.usage import Clock, PeakMemory

FATAL = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.EMFILE,
)  # fmt: skip
TEST_WORDS = ("harness", "words")  # a name that no learner takes for its own notes


@dataclass(frozen=True)
class SetJob:
    """Make one distilled set and save it under its key.

    `fraction` is the share of the pool that the set is made from (1: all of it).
    """

    task: str
    method: str
    params: Mapping[str, Any]
    budget: Budget
    set_index: int
    seed: int
    fraction: float
    resample_seed: int
    set_key: str
    folder: Path
    state_folder: Path | None
    parts: Path
    state_seed: int
    ingredients: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """One training of a job: its key, the set it needs and the learner's seed."""

    run_key: str
    set_key: str
    set_hash: str
    folder: Path
    seed: int
    ingredients: Mapping[str, Any]


@dataclass(frozen=True)
class TrainJob:
    """Train and score runs that share a task and a learner; normally those of one cell."""

    task: str
    learner: str
    params: Mapping[str, Any]
    runs: tuple[PlannedRun, ...]
    keep_logits: Path | None = None


@dataclass(frozen=True)
class Trained:
    """What a training gave: its record, and the predicted class of every test row.

    `environment` is what computed it, none where its worker was lost. A node of a cluster need not
    be like the driver.
    """

    record: RunRecord
    predictions: np.ndarray | None = field(repr=False, default=None)
    environment: Mapping[str, Any] | None = None


Job = SetJob | TrainJob
Message = SetRecord | Trained


def perform(job: Job, library: Library) -> Iterator[Message]:
    """Do a job. Whatever goes wrong inside becomes a failed record, so that others go on.

    A full disk and the like do propagate: no later job would fare better.
    """
    if isinstance(job, SetJob):
        yield _make_set(job, library)
    else:
        for trained in _train(job, library):
            yield replace(trained, environment=_environment())
    give_back()


@cache
def _environment() -> Mapping[str, Any]:
    """What this process computes with."""
    return describe_environment()


def _make_set(job: SetJob, library: Library) -> SetRecord:
    memory = PeakMemory()
    begun = time.perf_counter()
    try:
        data = library.task(job.task)
        method = METHODS.build(job.method, job.params)
        loaded = time.perf_counter()
        for encoder in method.encoders:
            data.pool.embed(encoder)  # shared by all sets and methods, so it is in no set's time
        state, prepared = None, {}
        if job.state_folder is not None:
            state = prepare_state(method, data.pool, job.state_folder, job.state_seed)
            prepared = preparation_facts(state)
        started = time.perf_counter()
        pool = data.pool.with_parts(job.parts)
        if job.fraction < 1:
            pool = pool.resample(job.fraction, numpy_generator(job.resample_seed))
        distilled = distil(method, pool, job.budget, job.seed, state)
        seconds = time.perf_counter() - started
        distilled.save(job.folder)
    except (Exception, SystemExit) as error:
        if is_fatal(error):
            raise
        why, kind = reason(error), kind_of(error)
        return SetRecord(job.set_key, "", Status.FAILED, why, job.ingredients, kind)
    facts = {
        # A note that is no number is of what the method could not find out.
        **{f"{NOTE}{name}": float(v) for name, v in distilled.notes.items() if math.isfinite(v)},
        # What other sets had learned already is counted as if this one had learned it.
        "distil_seconds": max(seconds, distilled.notes.get(SECONDS, 0.0)),
        **prepared,
        "distil_memory_mb": memory.megabytes(),
        **distilled.size(),
    }
    facts.update(set_facts(distilled, data, library))
    facts["job_seconds"] = time.perf_counter() - begun - (started - loaded)
    return SetRecord(job.set_key, distilled.content_hash, Status.OK, "", job.ingredients, facts)


def distil(
    method: Method, pool: Pool, budget: Budget, seed: int, state: Path | None
) -> DistilledSet:
    """Run a method with one BLAS thread, so that every executor computes the same bits."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        return method.distil(pool, budget, numpy_generator(seed), state)


def _train(job: TrainJob, library: Library) -> Iterator[Trained]:
    runs: list[PlannedRun] = list(job.runs)
    done = 0
    kind: Mapping[str, float] = {}
    memory, clock = PeakMemory(), Clock()
    try:
        data = library.task(job.task)
        learner = build_learner(job.learner, job.params)
        models = {name: library.model_folder(name) for name in learner.models}
        sets: dict[str, DistilledSet] = {}
        ready = []
        for run in runs:
            if run.set_key not in sets:
                sets[run.set_key] = DistilledSet.load(run.folder, run.set_hash)
            ready.append(Run(sets[run.set_key], run.seed))
        texts = library.test_texts(job.task)
        with clock.stopped():
            _encode_before(learner, sets.values(), texts, data.pool)
        clock.asks()
        outcomes = learner.fit_predict(ready, texts, models)
        for number, (run, outcome) in enumerate(zip(runs, outcomes, strict=False)):
            spent = clock.got() | _effort(learner, ready[number].distilled, texts)
            trained = _score(run, outcome, data, memory.megabytes(), spent, texts.scratch)
            if job.keep_logits is not None and outcome.scores is not None:
                _keep_logits(job.keep_logits, run.run_key, outcome.scores)
            done += 1
            yield trained
            clock.asks()
        why = f"learner {job.learner} gave {done} outcomes for {len(runs)} runs"
    except (Exception, SystemExit) as error:
        if is_fatal(error) or isinstance(error, DamagedFileError):
            raise
        why, kind = reason(error), kind_of(error)
    for run in runs[done:]:
        yield Trained(RunRecord(run.run_key, Status.FAILED, why, {}, kind, run.ingredients))


def _encode_before(
    learner: Learner, sets: Iterable[DistilledSet], texts: TestTexts, pool: Pool
) -> None:
    """Compute the features that all cells of a task share, so that they are in no run's time."""
    for encoder in learner.encoders:
        texts.features(encoder)
        if any(distilled.rows is not None for distilled in sets):
            pool.embed(encoder)


def _effort(learner: Learner, distilled: DistilledSet, texts: TestTexts) -> dict[str, float]:
    if TEST_WORDS not in texts.scratch:
        texts.scratch[TEST_WORDS] = words_of(texts.columns)
    rows = words_of(distilled.columns) if distilled.columns else np.ones(len(distilled))
    effort = learner.effort(rows, texts.scratch[TEST_WORDS], len(texts.classes))
    return {
        "train_effort": float(effort.train),
        "predict_effort": float(effort.predict),
        "prepare_effort": float(effort.prepare),
    }


def _score(
    run: PlannedRun,
    outcome: Outcome,
    data: TaskData,
    megabytes: float,
    spent: Mapping[str, float],
    scratch: dict[Any, Any],
) -> Trained:
    from evaluators.fairness import fairness
    from evaluators.scoring import score
    from evaluators.word_overlap import half_scores, low_half

    costs = {
        **spent,
        "train_seconds": outcome.train_seconds,
        "predict_seconds": outcome.predict_seconds,
        "peak_memory_mb": megabytes,
        **outcome.extra,
    }
    why = outcome.error
    if why is None:
        why = _fault(outcome.scores, len(data.test.labels), data.task.n_classes)
    if why is not None or outcome.scores is None:
        record = RunRecord(
            run.run_key, Status.FAILED, why or "no scores", {}, costs, run.ingredients
        )
        return Trained(record)
    predictions = outcome.scores.argmax(axis=1)
    scores = score(data.task.metric, predictions, data.test.labels, data.task.n_classes)
    if data.task.is_pair:
        if "low half" not in scratch:
            scratch["low half"] = low_half(data.test.columns)
        scores |= half_scores(predictions, data.test.labels, scratch["low half"])
    if data.test.groups is not None:
        n_classes = data.task.n_classes
        scores |= fairness(predictions, data.test.labels, data.test.groups, n_classes)
    record = RunRecord(run.run_key, Status.OK, "", scores, costs, run.ingredients)
    return Trained(record, predictions)


def _fault(scores: np.ndarray | None, n_test: int, n_classes: int) -> str | None:
    """Say what is wrong with a learner's scores, if anything is."""
    if scores is None:
        return "the learner returned no scores"
    if scores.shape != (n_test, n_classes):
        return f"the learner returned scores of shape {scores.shape}, not {(n_test, n_classes)}"
    if np.isnan(scores).any():
        return f"the learner returned NaN for {int(np.isnan(scores).any(axis=1).sum())} test rows"
    return None


def _keep_logits(folder: Path, key: str, scores: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{key}.npy"
    with temporary.open("wb") as handle:
        np.save(handle, scores.astype(np.float16))
    temporary.rename(folder / f"{key}.npy")


def is_fatal(error: BaseException) -> bool:
    """Whether an error is the machine's and not the adapter's: no space, no right to write."""
    return isinstance(error, OSError) and error.errno in FATAL


def kind_of(error: BaseException) -> dict[str, float]:
    """What a failed record notes besides the reason: whether something could not be had."""
    return {UNAVAILABLE: 1.0} if isinstance(error, UnavailableError) else {}


def reason(error: BaseException) -> str:
    """One line for a reader: the message of our own errors, type and place of any other."""
    if isinstance(error, BenchmarkError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}{place}"


def state_seed(task: str, method: str, protocol_seed: int) -> int:
    """Seed of a method's preparation, which all budgets and sets share."""
    return seed_of("prepare", task=task, method=method, protocol=protocol_seed)
