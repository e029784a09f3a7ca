"""What several jobs share is made by one of them, and the others are not started meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core.method import Budget
from benchmark.core.needs import Needs
from benchmark.executors.order import Order
from benchmark.work import SetJob, TrainJob


def set_job(method: str, task: str = "mood", state: Path | None = None, index: int = 0) -> SetJob:
    nowhere = Path("nowhere")
    return SetJob(
        task, method, {}, Budget((2, 2)), index, 0, 1.0, 0, f"{method}{index}", nowhere, state,
        nowhere, 0, {},
    )  # fmt: skip


def train_job(learner: str, task: str = "mood") -> TrainJob:
    return TrainJob(task, learner, {}, ())


def startable(order: Order) -> list:
    """Everything that can run beside each other now."""
    found = []
    while (job := order.next()) is not None:
        found.append(job)
    return found


def test_what_needs_nothing_starts_at_once_and_in_order() -> None:
    jobs = [set_job("random", index=i) for i in range(3)] + [train_job("tfidf-lr")]
    order = Order(jobs)
    assert startable(order) == jobs
    for job in jobs:
        order.ended(job)
    assert order.next() is None


def test_features_are_made_by_the_first_that_needs_them() -> None:
    first, second = set_job("herding"), set_job("herding", index=1)
    elsewhere, free = set_job("k-centers", task="pair"), set_job("random")
    order = Order([first, second, elsewhere, free])
    assert startable(order) == [first, elsewhere, free]
    order.ended(free)
    assert order.next() is None, "nothing has made the features of mood yet"
    order.ended(first)
    assert startable(order) == [second]


def test_features_of_the_test_split_are_made_by_the_first_training() -> None:
    """A set that was made with the same encoder has made those of the pool alone."""
    first, jobs = set_job("herding"), [train_job("probe"), train_job("probe")]
    jobs.append(set_job("herding", index=1))
    order = Order([first, *jobs])
    assert startable(order) == [first], "what the first makes, all of them read"
    order.ended(first)
    assert startable(order) == [jobs[0], jobs[2]]
    order.ended(jobs[0])
    assert startable(order) == [jobs[1]]


def test_what_becomes_possible_later_comes_after_all_else() -> None:
    sets, later = [set_job("random", index=i) for i in range(2)], [[train_job("tfidf-lr")], []]
    order = Order(sets, lambda: later.pop(0))
    assert [order.next(), order.next()] == sets
    assert len(later) == 2, "nothing is asked for while something else can start"
    assert isinstance(order.next(), TrainJob)
    assert order.next() is None


def test_a_probe_waits_for_its_features_and_a_later_stage_does_not() -> None:
    jobs = [train_job("probe"), train_job("tfidf-lr"), train_job("probe")]
    order = Order(jobs)
    assert startable(order) == jobs[:2]
    order.ended(jobs[0])
    assert startable(order) == [jobs[2]]


def test_a_state_that_could_not_be_learned_is_tried_by_one_at_a_time(tmp_path) -> None:
    state = tmp_path / "state"
    jobs = [set_job("first-of-all", state=state, index=i) for i in range(3)]
    order = Order(jobs)
    order.adapter = lambda job: type("Adapter", (), {"encoders": ()})()  # type: ignore[method-assign]
    assert startable(order) == jobs[:1]
    order.ended(jobs[0])  # and there is no state
    assert startable(order) == jobs[1:2]
    state.mkdir()
    order.ended(jobs[1])
    assert startable(order) == jobs[2:]


def test_a_state_that_is_there_holds_nobody_back(tmp_path) -> None:
    jobs = [set_job("random", state=tmp_path, index=i) for i in range(3)]
    assert startable(Order(jobs)) == jobs


def test_one_job_may_be_waited_for_because_of_two_things(tmp_path) -> None:
    state = tmp_path / "state"
    jobs = [set_job("herding", state=state), set_job("herding", state=state, index=1)]
    order = Order(jobs)
    assert startable(order) == jobs[:1]
    state.mkdir()
    order.ended(jobs[0])
    assert startable(order) == jobs[1:]


@pytest.mark.parametrize("bad", [{"cpus": 0}, {"gpus": -0.1}, {"gpus": 1.5}])
def test_needs_that_no_scheduler_grants(bad) -> None:
    with pytest.raises(ValueError, match=r"cpus is 0|gpus is -0.1|gpus is 1.5"):
        Needs(**bad)
