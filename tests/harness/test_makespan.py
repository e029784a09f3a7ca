"""Estimated wall time: what no schedule can beat, what it never exceeds, what waits for what."""

from __future__ import annotations

import random

import pytest

from benchmark.makespan import Step, makespan


def free(*seconds: float) -> list[Step]:
    return [Step(one) for one in seconds]


def test_jobs_are_dealt_out_to_workers() -> None:
    assert makespan(free(3, 1, 1, 1), 1) == 6
    assert makespan(free(3, 1, 1, 1), 2) == 3
    assert makespan([], 2) == 0


def test_a_step_waits_for_its_own_only() -> None:
    learned, made, trained = Step(10), Step(1, (0,)), Step(2, (1,))
    elsewhere = free(4, 4, 4)
    assert makespan([learned, made, trained, *elsewhere], 2) == 13, "the chain hides the others"
    assert makespan([learned, made, trained, *elsewhere], 1) == 25


@pytest.mark.parametrize("seed", range(20))
def test_it_lies_between_the_bounds_of_list_scheduling(seed) -> None:
    """At least the longest chain and a fair share, at most both together (Graham, 1969)."""
    rng = random.Random(seed)
    steps = [
        Step(rng.random(), tuple(rng.sample(range(i), min(i, rng.randrange(3))))) for i in range(40)
    ]
    chains: list[float] = []
    for step in steps:
        chains.append(step.seconds + max((chains[i] for i in step.after), default=0.0))
    total, longest = sum(step.seconds for step in steps), max(chains)
    for workers in (1, 2, 5):
        wall = makespan(steps, workers)
        assert max(longest, total / workers) - 1e-9 <= wall <= longest + total / workers + 1e-9


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="2 of 3 steps wait for each other"):
        makespan([Step(1), Step(1, (2,)), Step(1, (1,))], 2)
