"""The order in which jobs start: what several of them share is made by one, while others wait."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmark.core.keys import canonical_json
from benchmark.core.learner import Learner, build_learner
from benchmark.core.method import METHODS, Method
from benchmark.work import Job, SetJob

Thing = tuple[str, ...]
More = Callable[[], Iterable[Job]]
"""Asked when nothing else can start: the jobs that have become possible since the last call."""


def no_more() -> Iterable[Job]:
    """Nothing becomes possible that was not from the beginning."""
    return ()


class Order:
    """Hands out jobs in order, but none that would only wait for another to make what it needs.

    Prepared states and features are made once, under a kernel lock: a worker that met the lock
    would hold its cores and GPU for nothing, and its time limit would run. So the first job that
    needs such a thing makes it, and those like it are held back until that job has ended.
    """

    def __init__(self, jobs: Iterable[Job], more: More = no_more) -> None:
        self._waiting = deque(jobs)
        self._more = more
        self._held: dict[Thing, deque[Job]] = defaultdict(deque)
        self._making: dict[Thing, Job] = {}
        self._made: set[Thing] = set()
        self._adapters: dict[tuple[type, str, str], Method | Learner] = {}

    def next(self) -> Job | None:
        """The next job that can start now; None if there is none until another has ended."""
        while self._waiting or self._get_more():
            job = self._waiting.popleft()
            things = [thing for thing in self._things(job) if thing not in self._made]
            blocked = next((thing for thing in things if thing in self._making), None)
            if blocked is not None:
                self._held[blocked].append(job)
                continue
            self._making.update(dict.fromkeys(things, job))
            return job
        return None

    def _get_more(self) -> bool:
        self._waiting.extend(self._more())
        return bool(self._waiting)

    def ended(self, job: Job) -> None:
        """A job has ended, well or not: those that waited for it come next."""
        for thing in [thing for thing, maker in self._making.items() if maker is job]:
            del self._making[thing]
            if thing[0] != "state":  # whether a state is there, its folder tells
                self._made.add(thing)
            self._waiting.extendleft(reversed(self._held.pop(thing, deque())))

    def adapter(self, job: Job) -> Method | Learner:
        """The method or learner of a job."""
        name = job.method if isinstance(job, SetJob) else job.learner
        key = (type(job), name, canonical_json(dict(job.params)))
        if key not in self._adapters:
            build = METHODS.build if isinstance(job, SetJob) else build_learner
            self._adapters[key] = build(name, job.params)
        return self._adapters[key]

    def _things(self, job: Job) -> list[Thing]:
        """What a job reads that is made once for all: features of a task, a prepared state.

        A training reads those of the test split, and of the pool those of the rows of its set.
        """
        splits = ("pool",) if isinstance(job, SetJob) else ("test", "pool")
        encoders = self.adapter(job).encoders
        things = [("features", job.task, name, split) for name in encoders for split in splits]
        if isinstance(job, SetJob) and job.state_folder is not None:
            folder: Path = job.state_folder
            if not folder.is_dir():
                things.append(("state", str(folder)))
        return things
