"""Run jobs on a Ray cluster: each is a task with the CPUs and the share of a GPU that it declares.

Workers and driver share the store's directory: sets, features and prepared states are written
there once, by the worker that makes them, under their keys. Records and predictions come back
through Ray's object store, one message a training, and the driver alone writes rows. So a worker,
a node or the driver may end at any moment: what was reported is kept, the rest is done again.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from benchmark.core.errors import BenchmarkError, InputError
from benchmark.core.library import Library, LibraryConfig
from benchmark.core.threads import use_threads
from benchmark.executors.base import Done, Executor, Limits, Report, key_of, unfinished
from benchmark.executors.local import choose_local
from benchmark.executors.order import More, Order, no_more
from benchmark.executors.ray_cluster import Shared, connect, misfits, this_node
from benchmark.work import Job, Message, TrainJob

NODE_ID = "ray.io/node-id"  # a label that Ray gives every node
AT_ONCE = 500  # tasks given to Ray, running or waiting: what an autoscaler sees of the demand
TRIES = 3
"""How often a job is begun whose worker died: nodes fail, but some adapters kill every worker."""


@dataclass
class Attempt:
    """A job under way: what came back of it, and what became of its workers."""

    job: Job
    finished: set[str] = field(default_factory=set)
    tries: int = 1
    lost: str = ""
    turned_away: bool = False

    def left(self) -> Job | None:
        """The job without what came back; None if that is everything."""
        if isinstance(self.job, TrainJob):
            runs = tuple(run for run in self.job.runs if run.run_key not in self.finished)
            return replace(self.job, runs=runs) if runs else None
        return None if self.job.set_key in self.finished else self.job


@dataclass(frozen=True)
class Misfit:
    """What a node sends in place of a job's messages if it joined late and does not fit."""

    node: str
    why: str


class OnRay(Executor):
    """Jobs as Ray tasks, retried on other workers where theirs died.

    A node that joins later and does not fit is given no more jobs; the first of them is done
    elsewhere.

    Raises `InputError` when the cluster cannot be reached, or a node does not see the store, the
    assets or the files of tasks under the driver's paths, or has another version installed, or
    when no node has the memory that the limits allow a job.
    """

    spreads = True

    def __init__(
        self,
        config: LibraryConfig,
        limits: Limits,
        report: Report | None,
        address: str,
        workers: int,
    ) -> None:
        super().__init__(config, limits, report)
        self._ray = connect(address, workers)
        self._shared = Shared.of(config)
        self._mark = contextlib.ExitStack()
        self._mark.enter_context(self._shared.held())
        self._shunned: dict[str, str] = {}
        try:
            if found := misfits(self._ray, self._shared):
                raise InputError("Ray: " + "; ".join(found))
            self._task = self._ray.remote(_perform)
            self._has_gpus = self._largest("GPU") > 0
            self._check_memory()
        except BaseException:
            self.close()
            raise

    def run(
        self, jobs: Sequence[Job], more: More = no_more
    ) -> Iterator[tuple[Job, Message | Done]]:
        """Run all jobs; messages of different jobs interleave."""
        order = Order(jobs, more)
        running: dict[Any, Attempt] = {}
        try:
            while True:
                while len(running) < AT_ONCE and (job := order.next()) is not None:
                    running[self._submit(order, job)] = Attempt(job)
                if not running:
                    return
                ready, _ = self._ray.wait(list(running), num_returns=1, fetch_local=False)
                for stream in ready:
                    attempt = running[stream]
                    try:
                        message = self._receive(next(stream), attempt)
                    except StopIteration:
                        del running[stream]
                        left = attempt.left()
                        if left is not None and (attempt.turned_away or attempt.tries < TRIES):
                            attempt.tries += not attempt.turned_away
                            attempt.turned_away = False
                            running[self._submit(order, left)] = attempt
                            continue
                        if left is not None:
                            why = f"its worker was lost {attempt.tries} times; {attempt.lost}"
                            for failed in unfinished(attempt.job, attempt.finished, why):
                                yield attempt.job, failed
                        yield attempt.job, Done()
                        order.ended(attempt.job)
                    else:
                        if message is not None:
                            yield attempt.job, message
        finally:
            for stream in running:
                self._ray.cancel(stream, force=True)

    def _submit(self, order: Order, job: Job) -> Any:
        needs = order.adapter(job).needs
        memory = self.limits.gigabytes
        options = {
            "num_cpus": min(needs.cpus, max(1, int(self._largest("CPU")))),
            "num_gpus": min(needs.gpus, max(1, self._largest("GPU"))) if self._has_gpus else 0,
            "memory": int(memory * 1e9) if memory is not None else None,
            "max_retries": 0,  # `Attempt` counts them: only what is missing is done again
            "num_returns": "streaming",
        }
        if self._shunned:
            options["label_selector"] = {NODE_ID: f"!in({', '.join(self._shunned)})"}
        task = self._task.options(**options)
        return task.remote(job, self._shared, self.limits, options["num_cpus"])

    def _largest(self, resource: str) -> float:
        """What the best node has of a resource: a job that asked for more would wait for ever."""
        return max((node["Resources"].get(resource, 0.0) for node in self._nodes()), default=0.0)

    def _nodes(self) -> list[dict[str, Any]]:
        """Nodes that are up and fit, as far as is known."""
        nodes = self._ray.nodes()
        return [node for node in nodes if node["Alive"] and node["NodeID"] not in self._shunned]

    def _shun(self, found: Misfit) -> None:
        if found.node in self._shunned:
            return  # a job that was on its way there
        self._shunned[found.node] = found.why
        if not self._nodes():
            raise InputError(f"Ray: no node is left that fits: {'; '.join(self._shunned.values())}")
        warnings.warn(f"Ray: {found.why}; that node is given no more jobs", stacklevel=2)

    def _check_memory(self) -> None:
        wanted, most = self.limits.gigabytes, self._largest("memory") / 1e9
        if wanted is not None and wanted > most:
            raise InputError(
                f"--memory {wanted:g}: no node of the cluster offers more than {most:.1f} GB"
            )

    def _receive(self, reference: Any, attempt: Attempt) -> Message | None:
        """A message; None where there is none, because its worker or node is lost."""
        try:
            message = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise  # a defect of the benchmark: adapters' errors are records
        except self._ray.exceptions.RayError as error:
            attempt.lost = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return None
        if isinstance(message, Misfit):
            attempt.turned_away = True
            self._shun(message)
            return None
        if isinstance(message, OSError | BenchmarkError):
            raise message
        attempt.finished.add(key_of(message))
        return message

    def close(self) -> None:
        """Leave the cluster; what still runs for this driver there is stopped."""
        self._mark.close()
        self._ray.shutdown()


@lru_cache(maxsize=1)
def _executor(config: LibraryConfig, limits: Limits, threads: int) -> Executor:
    """What a Ray worker works with, kept between its jobs: what they share is loaded once."""
    return choose_local(config, Library(config), 1, limits, threads=threads)


def _perform(
    job: Job, shared: Shared, limits: Limits, threads: int
) -> Iterator[Message | Misfit | OSError | BenchmarkError]:
    """Body of a Ray task: what a local worker would do, with its limits.

    Errors that end the run are sent as messages: Ray would wrap them in its own.
    """
    use_threads(threads)
    try:
        if what := shared.missing():
            yield Misfit(this_node(), what)
            return
        for _, message in _executor(shared.config, limits, threads).run([job]):
            if not isinstance(message, Done):
                yield message
    except OSError as error:
        name = str(error.filename) if error.filename is not None else None
        yield OSError(error.errno, error.strerror or str(error), name)
    except BenchmarkError as error:
        yield error
