"""How an endpoint is asked: no secret is shown, waits are bounded, and one that gave up is left.

The server is a real one on this machine.
"""

from __future__ import annotations

import base64
import pickle
import time
from types import SimpleNamespace
from typing import Any

import pytest
from endpoint_server import SECRET, EmbeddingServer, serving

from benchmark.core import endpoint
from benchmark.core.encoders import EncoderSpec
from benchmark.core.endpoint_encoder import EndpointEncoder, VectorCache, require_endpoint
from benchmark.core.errors import BenchmarkError, InputError, UnavailableError

SPEC = EncoderSpec("remote", endpoint="toy-model", dimension=3, normalise=False)
TEXTS = {"text": ["a", "bb", "ccc"]}


@pytest.fixture
def server(monkeypatch):
    with serving(monkeypatch) as server:
        yield server


def encode(tmp_path, spec=SPEC, texts=TEXTS):
    return EndpointEncoder(spec, VectorCache(tmp_path / "features")).encode(texts)


def message_of(tmp_path) -> str:
    with pytest.raises(UnavailableError) as caught:
        encode(tmp_path)
    return str(caught.value)


@pytest.mark.parametrize("key", [SECRET, 'sk-"a secret"\\', "sk-" + "secret" * 50, "sk&<secret>"])
def test_a_key_that_the_server_repeats_is_hidden(server, tmp_path, monkeypatch, key):
    monkeypatch.setenv(endpoint.KEY, key)
    server.plan = [401]
    told = message_of(tmp_path)
    assert server.keys == [f"Bearer {key}"]
    assert "secret" not in told
    assert "not for you, ***" in told


def test_a_key_among_the_numbers_is_hidden(server, tmp_path):
    server.plan = [lambda reply: {"data": [{"index": 0, "embedding": [f"Bearer {SECRET}"]}]}]
    told = message_of(tmp_path)
    assert "no list of embeddings" in told
    assert "secret" not in told


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\r"])
def test_white_space_around_a_key_is_not_part_of_it(server, tmp_path, monkeypatch, end):
    monkeypatch.setenv(endpoint.KEY, f" {SECRET}{end}")
    encode(tmp_path)
    assert server.keys == [f"Bearer {SECRET}"]


@pytest.mark.parametrize("letter", ["\n", "\r", "\t", "\x07", "€", "’", "\u200b", "\udc80"])
def test_a_key_that_no_header_can_hold_is_refused_before_work_starts(
    server, tmp_path, monkeypatch, letter
):
    monkeypatch.setattr(endpoint.os, "environ", dict(endpoint.os.environ))  # takes any text
    endpoint.os.environ[endpoint.KEY] = f"sk-secret{letter}secret"
    for attempt in (lambda: require_endpoint(SPEC, offline=False), lambda: encode(tmp_path)):
        with pytest.raises(InputError, match="OPENAI_API_KEY: character 10 of 16") as caught:
            attempt()
        assert "secret" not in str(caught.value)
    assert not server.requests


def test_a_key_of_one_letter_does_not_hide_the_message(server, tmp_path, monkeypatch):
    monkeypatch.setenv(endpoint.KEY, "o")
    server.plan = [401]
    assert "answered 401" in (told := message_of(tmp_path))
    assert "not for you, ***" in told


@pytest.mark.parametrize("fault", [401, 503, lambda reply: {"oops": 1}, "down"])
def test_user_and_password_of_the_address_are_hidden(server, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(endpoint, "RETRIES", 0)
    server.plan = [fault]
    host = f"127.0.0.1:{9 if fault == 'down' else server.port}"
    monkeypatch.setenv(endpoint.BASE_URL, f"http://alice:pass%2Fword@{host}/v1")
    told = message_of(tmp_path)
    sent = base64.b64encode(b"alice:pass/word").decode()
    assert server.keys in ([], [f"Basic {sent}"])
    for secret in ("alice", "pass", "word", sent):
        assert secret not in told
    assert f"http://***{host}/v1/embeddings" in told


@pytest.mark.parametrize(
    "url",
    ["http://alice:pass/word@localhost:1/v1", "alice:password@localhost/v1", "http://pass@[::1/v1",
     "http://alice:passw€rd@localhost:1/v1", "http://alice:pass@word@localhost:x/v1"],
)  # fmt: skip
def test_an_address_that_is_none_is_an_error_that_hides_them_too(
    tmp_path, monkeypatch, server, url
):
    monkeypatch.setattr(endpoint, "RETRIES", 0)
    monkeypatch.setenv(endpoint.BASE_URL, url)
    told = message_of(tmp_path)
    assert "did not answer" in told
    for secret in ("alice", "pass", "word"):
        assert secret not in told


def test_errors_cross_process_borders():
    error = pickle.loads(pickle.dumps(endpoint.EndpointError("no", 400)))
    assert (str(error), error.status) == ("no", 400)


@pytest.fixture
def slept(monkeypatch) -> list[float]:
    """Seconds that would have been waited."""
    from urllib3.util import retry

    seconds: list[float] = []
    clock = SimpleNamespace(sleep=seconds.append, time=time.time)
    monkeypatch.setattr(retry, "time", clock)
    return seconds


@pytest.mark.parametrize(
    ("wish", "waited"),
    [("7", [7]), ("86400", [120]), ("Fri, 01 Jan 2100 00:00:00 GMT", [120]), ("soon", [])],
)
def test_a_server_that_asks_for_a_long_wait_is_asked_again_sooner(
    server, tmp_path, slept, wish, waited
):
    server.plan = [(429, {"Retry-After": wish})]
    encode(tmp_path)
    assert len(server.requests) == 2
    assert slept == waited


def given_up(tmp_path, server: EmbeddingServer) -> str:
    """Let the server fail for good; returns why."""
    server.plan = [503] * 3
    told = message_of(tmp_path)
    assert len(server.requests) == 3
    server.requests.clear()
    return told


def test_an_endpoint_that_gave_up_is_not_asked_again_in_this_run(server, tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint, "RETRIES", 2)
    told = given_up(tmp_path, server)
    assert "answered 503" in told
    assert message_of(tmp_path) == told
    assert not server.requests
    other = EncoderSpec("other", endpoint="other-model", dimension=3)
    encode(tmp_path, other)
    endpoint.ask_all_again()
    encode(tmp_path)
    assert [request["model"] for request in server.requests] == ["other-model", "toy-model"]


def test_one_that_does_not_answer_at_all_has_given_up_too(server, tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint, "RETRIES", 0)
    server.stop()
    told = message_of(tmp_path)
    again = EmbeddingServer(server.port)
    assert message_of(tmp_path) == told
    assert not again.requests
    endpoint.ask_all_again()
    encode(tmp_path)
    assert len(again.requests) == 1
    again.stop()


def test_one_that_refused_is_asked_again(server, tmp_path):
    """It costs one request, and the next may be another matter."""
    server.plan = [401]
    message_of(tmp_path)
    encode(tmp_path)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ({"usage": {"total_tokens": 7}}, 7),
        ({"usage": {"total_tokens": 7.0}}, 7),
        *(
            ({"usage": {"total_tokens": odd}}, 0)
            for odd in (None, "7", [7], -1, float("nan"), float("inf"), 10**400)
        ),
        *(({"usage": odd}, 0) for odd in (None, 7, [7], "7")),
        ({}, 0),
        ([7], 0),
    ],
)
def test_tokens_are_a_number_or_none(content: Any, tokens: int):
    assert endpoint.tokens_of(content) == tokens


def test_a_damaged_cache_is_named(server, tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "endpoints.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(BenchmarkError, match=r"endpoints\.sqlite.*remove it"):
        encode(tmp_path)
