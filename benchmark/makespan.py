"""Wall time, on several workers, of jobs of which some wait for others."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """Seconds of a job, and the places in the list of the jobs that it waits for."""

    seconds: float
    after: tuple[int, ...] = ()


def makespan(steps: Sequence[Step], workers: int) -> float:
    """Seconds until all is done, if a free worker takes the first step of the list that can start.

    That is how executors deal out work. Raises `ValueError` for steps that wait for each other.
    """
    left = [len(set(step.after)) for step in steps]
    followers: dict[int, list[int]] = defaultdict(list)
    for place, step in enumerate(steps):
        for earlier in set(step.after):
            followers[earlier].append(place)
    ready = [place for place, count in enumerate(left) if count == 0]
    running: list[tuple[float, int]] = []
    now, done = 0.0, 0
    while ready or running:
        while ready and len(running) < workers:
            place = heapq.heappop(ready)
            heapq.heappush(running, (now + steps[place].seconds, place))
        now, ended = heapq.heappop(running)
        done += 1
        for place in followers[ended]:
            left[place] -= 1
            if left[place] == 0:
                heapq.heappush(ready, place)
    if done < len(steps):
        raise ValueError(f"{len(steps) - done} of {len(steps)} steps wait for each other")
    return now
