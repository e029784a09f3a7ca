"""A command whose endpoint fails is given again as it stands, goes on, and pays for nothing twice.

The server is a real one on this machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from endpoint_server import EmbeddingServer, serving

from benchmark.core import endpoint, endpoint_encoder
from benchmark.store import Store

ENCODER = """
[encoder.remote]
endpoint = "toy-model"
dimension = 3
normalise = false
[learner.remote-probe]
kind = "probe"
encoder = "remote"
"""
SMALL = ["--suite", "toy", "--tasks-only", "mood", "--dpc", "2", "--sets", "2", "--seeds", "2"]
SELECTED = ["--methods", "k-centers", "--set", "k-centers.encoder=remote", "--learners", "coin"]
PROBED = ["--methods", "first", "--learners", "remote-probe"]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(endpoint, "RETRIES", 1)
    monkeypatch.setattr(endpoint_encoder, "TEXTS_PER_REQUEST", 32)
    with serving(monkeypatch) as server:
        yield server


@pytest.fixture
def flags(world, tmp_path) -> list[str]:
    """Flags of a world with an encoder behind an endpoint; it is not asked where one is offline."""
    tasks = tmp_path / "tasks.toml"
    tasks.write_text(world.tasks.read_text() + ENCODER)
    store = str(tmp_path / "store")
    return [*SMALL, "--store", store, "--assets", str(world.assets), "--tasks", str(tasks)]


def reasons(flags: list[str]) -> set[str]:
    """What the failed rows say."""
    opened = Store(Path(flags[flags.index("--store") + 1]), create=False)
    found = opened.database.execute("SELECT DISTINCT reason FROM rows WHERE status = 'failed'")
    told = {reason for (reason,) in found}
    opened.close()
    return told


@pytest.mark.parametrize("what", [SELECTED, PROBED], ids=["set", "run"])
def test_the_same_command_goes_on_where_an_endpoint_failed(server, cli, flags, what) -> None:
    flags = [*flags, *what]
    server.stop()
    told = cli("run", *flags)
    assert told.code == 1
    assert "4 of 4 runs: encoder remote: http://127.0.0.1" in told.out
    assert "did not answer" in told.out
    assert "asked for again by the same command" in told.out
    assert "--retry-failed" not in told.out
    assert "billed" not in told.out

    back = EmbeddingServer(server.port)
    back.plan = [None, 401, 401]
    told = cli("run", *flags)
    assert told.code == 1
    assert "answered 401" in told.out
    assert f"Endpoints billed {sum(map(len, back.asked[:32])):,} tokens in this run." in told.out
    (reason,) = reasons(flags)
    assert "answered 401" in reason
    assert "32 of" in reason

    paid = back.asked[:32]
    back.requests.clear()
    back.plan.clear()
    planned = cli("plan", *flags).out
    assert "failed" not in planned
    assert "stale" not in planned
    assert f"in this store so far: {sum(map(len, paid)):,}" in planned
    told = cli("run", *flags)
    assert told.code == 0, told.out
    assert not set(paid) & set(back.asked)
    assert len(set(back.asked)) == len(back.asked)
    again = cli("run", *flags)
    assert (again.code, "billed" in again.out) == (0, False)
    total = sum(map(len, paid + back.asked))
    assert f"tokens that endpoints have billed in this store so far: {total:,}" in (
        cli("plan", *flags).out
    )
    back.stop()


def test_an_endpoint_that_gave_up_is_asked_once_in_a_run_and_again_in_the_next(
    server, cli, flags
) -> None:
    server.plan = [503] * 100
    for _ in range(2):
        server.requests.clear()
        told = cli("run", *flags, *SELECTED)
        assert told.code == 1
        assert "4 of 4 runs" in told.out
        assert len(server.requests) == 2, "one try and another for two sets"
        assert len(reasons(flags)) == 1


def test_what_failed_otherwise_waits_for_a_retry_all_the_same(
    server, cli, flags, tmp_path, monkeypatch
) -> None:
    """A set of each kind in one run."""
    flag = tmp_path / "flag"
    flag.touch()
    monkeypatch.setenv("TOY_FLAG", str(flag))
    both = ["--methods", "k-centers,flagged", "--set", "k-centers.encoder=remote"]
    flags = [*flags, *both, "--learners", "coin"]
    server.plan = [401]
    told = cli("run", *flags)
    assert told.code == 1
    assert "--retry-failed" in told.out
    assert "asked for again by the same command" in told.out
    flag.unlink()
    told = cli("run", *flags)
    assert told.code == 1
    assert "k-centers" not in told.out.partition("FAILED")[2]
    assert "FAILED: mood / flagged" in told.out
    assert "asked for again by the same command" not in told.out
    assert cli("run", *flags, "--retry-failed").code == 0


def test_a_store_that_was_written_before_is_read(server, cli, flags) -> None:
    """There, what could not be had is a failure like any other."""
    server.plan = [401]
    assert cli("run", *flags, *SELECTED).code == 1
    path = flags[flags.index("--store") + 1]
    opened = Store(Path(path))
    with opened.writing():
        opened.database.execute("UPDATE sets SET facts = '{}'")
    opened.close()
    assert cli("run", *flags, *SELECTED).code == 1
    assert cli("run", *flags, *SELECTED, "--retry-failed").code == 0


def test_a_key_that_cannot_be_sent_is_refused_by_plan_and_run(
    server, cli, flags, monkeypatch
) -> None:
    monkeypatch.setenv(endpoint.KEY, "sk-secret\u20ac")
    for verb in ("plan", "run"):
        told = cli(verb, *flags, *SELECTED)
        assert told.code == 2
        assert "OPENAI_API_KEY: character 10 of 10" in told.message
        assert "secret" not in told.err
