"""A lock is the kernel's: one holder at a time, gone with its process."""

import multiprocessing
import os
import signal
import time

import pytest

from benchmark.core.locks import kernel_lock, kernel_lock_if_free

CONTEXT = multiprocessing.get_context("fork")


def hold(path, held, release):
    with kernel_lock(path):
        held.set()
        release.wait(30)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock; (path, process, event that lets it go)."""
    path, held, release = tmp_path / "deep" / ".lock", CONTEXT.Event(), CONTEXT.Event()
    process = CONTEXT.Process(target=hold, args=(path, held, release))
    process.start()
    assert held.wait(30)
    yield path, process, release
    process.kill()  # not `release.set()`, which waits for a waiter that may have been killed
    process.join(30)


def test_a_free_lock_is_taken_without_waiting(tmp_path):
    waited = []
    for _ in range(3):
        with kernel_lock(tmp_path / "deep" / ".lock", lambda: waited.append(1)):
            assert (tmp_path / "deep" / ".lock").exists()
    assert waited == []


def test_the_second_is_told_once_and_waits(holder):
    path, process, release = holder
    told = []

    def on_wait():
        told.append(process.is_alive())
        release.set()

    with kernel_lock(path, on_wait):
        process.join(30)
    assert told == [True]
    assert path.exists()


def test_one_may_ask_whether_a_lock_is_free(holder):
    path, process, _ = holder
    with kernel_lock_if_free(path) as free:
        assert not free
    process.kill()
    process.join(30)
    with kernel_lock_if_free(path) as free:
        assert free
        with kernel_lock_if_free(path) as again:
            assert not again
    with kernel_lock(path, on_wait=pytest.fail):
        pass


def test_a_killed_holder_leaves_no_lock(holder):
    path, process, _ = holder
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    started = time.monotonic()
    with kernel_lock(path):
        assert time.monotonic() - started < 5


def test_an_error_inside_lets_the_lock_go(tmp_path):
    with pytest.raises(RuntimeError), kernel_lock(tmp_path / ".lock"):
        raise RuntimeError
    with kernel_lock(tmp_path / ".lock", on_wait=pytest.fail):
        pass


def add_up(path, counter):
    for _ in range(50):
        with kernel_lock(path):
            counter.write_text(str(int(counter.read_text()) + 1))


def test_nothing_is_lost_between_processes(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    workers = [CONTEXT.Process(target=add_up, args=(tmp_path / ".lock", counter)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert counter.read_text() == "150"
