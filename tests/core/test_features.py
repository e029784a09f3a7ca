"""Features are computed once, kept on disk, and made again when they are damaged."""

import multiprocessing
import time

import numpy as np
import pytest

from benchmark.core.features import FeatureCache

FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def counted():
    class Counted:
        calls = 0

        def __call__(self):
            self.calls += 1
            return FEATURES

    return Counted()


def test_computed_once(tmp_path, counted):
    cache = FeatureCache(tmp_path / "features")
    assert not cache.has("k")
    first = cache.get("k", counted)
    assert cache.get("k", counted) is first
    assert cache.has("k")
    assert FeatureCache(tmp_path / "features").get("k", counted).tolist() == FEATURES.tolist()
    assert counted.calls == 1
    cache.get("other", counted)
    assert counted.calls == 2


def test_read_only(tmp_path, counted):
    features = FeatureCache(tmp_path).get("k", counted)
    assert isinstance(features, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        features[0, 0] = 1


@pytest.mark.parametrize("name", ["k.npy", "k.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "null", "remove"])
def test_a_damaged_file_is_made_again(tmp_path, counted, name, damage):
    FeatureCache(tmp_path).get("k", counted)
    path = tmp_path / name
    whole = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        flipped = whole[:20] + bytes([whole[20] ^ 1]) + whole[21:]
        damaged = {"flip": flipped, "cut": whole[:-5], "empty": b"", "null": b"null"}
        path.write_bytes(damaged[damage])
    assert FeatureCache(tmp_path).get("k", counted).tolist() == FEATURES.tolist()
    assert counted.calls == 2
    assert path.read_bytes() == whole


def test_nothing_is_left_of_a_computation_that_fails(tmp_path, counted):
    cache = FeatureCache(tmp_path)

    def fail():
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        cache.get("k", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".k.lock"]
    assert cache.get("k", counted).tolist() == FEATURES.tolist()


def make(folder, log, barrier):
    def compute():
        with open(log, "a") as handle:
            handle.write("x")
        time.sleep(0.3)  # the others have looked in vain by now
        return FEATURES

    barrier.wait()
    FeatureCache(folder).get("k", compute)


def test_one_process_computes_for_all(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, log = context.Barrier(3), tmp_path / "log"
    workers = [context.Process(target=make, args=(tmp_path / "f", log, barrier)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert log.read_text() == "x"


def test_features_of_other_texts_do_not_wait(tmp_path, counted):
    other = multiprocessing.get_context("fork").Process(
        target=lambda: FeatureCache(tmp_path).get("other", counted)
    )

    def compute():
        other.start()
        other.join(10)
        waits = other.is_alive()
        other.kill()
        assert not waits
        return FEATURES

    FeatureCache(tmp_path).get("k", compute)
    assert other.exitcode == 0
    assert FeatureCache(tmp_path).has("other")
