"""An endpoint is asked in batches, again where it fails, and never twice for a text.

The server is a real one on this machine; nothing of the client is replaced.
"""

import dataclasses
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from benchmark.core import endpoint
from benchmark.core import endpoint_encoder as module
from benchmark.core.encoders import EncoderSpec
from benchmark.core.endpoint_encoder import EndpointEncoder, VectorCache, require_endpoint
from benchmark.core.errors import BenchmarkError, InputError, UnavailableError
from benchmark.core.library import Library, LibraryConfig

SPEC = EncoderSpec("remote", endpoint="toy-model", dimension=3, normalise=False, max_length=100)
TEXTS = {"text": ["a", "bb", "ccc", "bb", " ", "dddd", "eeeee"]}


def vector_of(text):
    return [float(len(text)), float(text.count("b")), 1.0]


class Server:
    """Embeds texts by their lengths; `plan` holds what to do wrong with the next requests."""

    def __init__(self):
        self.requests: list[dict] = []
        self.keys: list[str | None] = []
        self.plan: list = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body | {"path": self.path})
                outer.keys.append(self.headers.get("Authorization"))
                fault = outer.plan.pop(0) if outer.plan else None
                data = [
                    {"index": i, "embedding": vector_of(text)}
                    for i, text in enumerate(body["input"])
                ]
                reply = {
                    "data": data[::-1],
                    "usage": {"total_tokens": sum(map(len, body["input"]))},
                }
                status = 200
                if isinstance(fault, int):
                    status, reply = fault, {"error": "busy"}
                elif callable(fault):
                    reply = fault(reply)
                content = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.block_on_close = False
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    @property
    def asked(self):
        return [text for request in self.requests for text in request["input"]]


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setenv(endpoint.BASE_URL, server.url)
    monkeypatch.setenv(endpoint.KEY, "secret-key")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(endpoint, "BACKOFF", 0.001)
    yield server
    server.http.shutdown()
    server.http.server_close()


def encoder(tmp_path, spec=SPEC):
    return EndpointEncoder(spec, VectorCache(tmp_path / "features"))


def test_each_text_is_asked_for_once_in_batches(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TEXTS_PER_REQUEST", 2)
    steps = []
    made = encoder(tmp_path)
    features = made.encode(TEXTS, lambda done, total: steps.append((done, total)))
    assert features.dtype == np.float32
    expected = [vector_of(text) if text.strip() else [0, 0, 0] for text in TEXTS["text"]]
    assert features.tolist() == expected
    assert [request["input"] for request in server.requests] == [
        ["a", "bb"],
        ["ccc", "dddd"],
        ["eeeee"],
    ]
    assert {request["path"] for request in server.requests} == {"/v1/embeddings"}
    assert {request["model"] for request in server.requests} == {"toy-model"}
    assert set(server.keys) == {"Bearer secret-key"}
    assert steps == [(2, 5), (4, 5), (5, 5)]
    assert made.tokens_billed() == 15
    assert encoder(tmp_path).encode(TEXTS).tolist() == expected
    assert len(server.requests) == 3


def test_requests_hold_so_many_characters_at_most(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHARACTERS_PER_REQUEST", 5)
    encoder(tmp_path).encode(TEXTS)
    lengths = [[len(text) for text in request["input"]] for request in server.requests]
    assert lengths == [[1, 2], [3], [4], [5]]


def test_pairs_prefixes_and_texts_beyond_the_context(server, tmp_path):
    spec = dataclasses.replace(SPEC, prefix="p: ", max_length=3)
    encoder(tmp_path, spec).encode({"one": ["a", "x" * 50], "two": ["b", "y"]})
    assert server.asked == ["p: a\nb", "p: xxxxxx"]


def test_unit_length_and_other_settings_are_asked_anew(server, tmp_path):
    plain = encoder(tmp_path).encode(TEXTS)
    spec = dataclasses.replace(SPEC, normalise=True)
    scaled = encoder(tmp_path, spec).encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), [1, 1, 1, 1, 0, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(scaled[0], plain[0] / np.linalg.norm(plain[0]), rtol=1e-6)
    renamed = dataclasses.replace(SPEC, name="other")
    before = len(server.requests)
    encoder(tmp_path, renamed).encode(TEXTS)
    assert len(server.requests) == before


@pytest.mark.parametrize("fault", [429, 500, 503])
def test_a_passing_fault_is_tried_again(server, tmp_path, fault):
    server.plan = [fault, fault]
    assert encoder(tmp_path).encode(TEXTS)[2].tolist() == vector_of("ccc")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (401, "answered 401"),
        (
            lambda reply: {"data": [{"index": 0, "embedding": [1, 2]}]},
            r"shape \(1, 2\) for 2 texts",
        ),
        (lambda reply: {"data": reply["data"][:1]}, r"shape \(1, 3\) for 2 texts"),
        (lambda reply: {"oops": 1}, "no list of embeddings"),
        (lambda reply: [1, 2], "no list of embeddings"),
        (
            lambda reply: {"data": [{"index": i, "embedding": [1, 2, None]} for i in range(2)]},
            "finite|no list",
        ),
    ],
)
def test_a_lasting_fault_half_way_keeps_what_was_embedded(
    server, tmp_path, monkeypatch, fault, words
):
    monkeypatch.setattr(module, "TEXTS_PER_REQUEST", 2)
    server.plan = [None, fault]
    with pytest.raises(UnavailableError, match=words) as caught:
        encoder(tmp_path).encode(TEXTS)
    assert "2 of 5 texts are embedded and kept: run it again" in str(caught.value)
    assert "secret-key" not in str(caught.value)
    server.requests.clear()
    features = encoder(tmp_path).encode(TEXTS)
    assert server.asked == ["ccc", "dddd", "eeeee"]
    assert features[0].tolist() == vector_of("a")
    assert encoder(tmp_path).tokens_billed() == 15


def test_retries_end(server, tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint, "RETRIES", 2)
    server.plan = [503] * 10
    with pytest.raises(UnavailableError, match="503"):
        encoder(tmp_path).encode(TEXTS)
    assert len(server.requests) == 3


def test_an_endpoint_that_does_not_answer_in_time(server, tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint, "RETRIES", 1)
    monkeypatch.setattr(endpoint, "TIMEOUT", 0.2)
    held = threading.Event()
    server.plan = [lambda reply: held.wait(5) and reply] * 2
    with pytest.raises(UnavailableError, match="did not answer"):
        encoder(tmp_path).encode(TEXTS)
    held.set()
    monkeypatch.setenv(endpoint.BASE_URL, "http://127.0.0.1:9/v1")
    with pytest.raises(UnavailableError, match=r"did not answer.*0 of 5 texts"):
        encoder(tmp_path).encode(TEXTS)


def test_a_damaged_cache_is_named(server, tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "endpoints.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(BenchmarkError, match=r"endpoints\.sqlite.*remove it"):
        encoder(tmp_path).encode(TEXTS)


def test_what_an_endpoint_needs_is_asked_before_work_starts(monkeypatch):
    monkeypatch.delenv(endpoint.BASE_URL, raising=False)
    with pytest.raises(UnavailableError, match="OPENAI_BASE_URL is not set"):
        require_endpoint(SPEC, offline=False)
    monkeypatch.setenv(endpoint.BASE_URL, "http://127.0.0.1:9/v1")
    require_endpoint(SPEC, offline=False)
    with pytest.raises(UnavailableError, match="--offline is set"):
        require_endpoint(SPEC, offline=True)
    with pytest.raises(InputError, match="dimension"):
        dataclasses.replace(SPEC, dimension=0)
    with pytest.raises(InputError, match="either a model or an endpoint"):
        dataclasses.replace(SPEC, model="minilm")


TOML = """
[encoder.remote]
endpoint = "toy-model"
dimension = 3
normalise = false
prefix = "{classes}: "
[task.toy]
dataset = "me/toy"
text = ["text"]
label = "label"
classes = ["no", "yes"]
"""


def test_a_library_encodes_through_an_endpoint_once(server, tmp_path, write_assets):
    table = {"text": ["a", "bb", "ccc", "dd"], "label": [0, 1, 0, 1]}
    root = write_assets({"me/toy/default/train": table, "me/toy/default/test": table})
    (tmp_path / "tasks.toml").write_text(TOML)
    config = LibraryConfig(tmp_path / "store", root, tasks=(tmp_path / "tasks.toml",))
    library = Library(config)
    library.require_encoder("remote")
    pool = library.task("toy").pool
    features = pool.embed("remote")
    assert features[:, 0].tolist() == [len("no, yes: ") + len(t) for t in table["text"]]
    assert server.asked == [f"no, yes: {text}" for text in table["text"]]
    again = Library(config).task("toy").pool.embed("remote")
    assert again.tolist() == features.tolist()
    assert pool.services.encode("remote", {"text": ["a", "new"]}).shape == (2, 3)
    assert server.asked[4:] == ["no, yes: new"]
    (note,) = [json.loads(p.read_text()) for p in (tmp_path / "store/features").glob("*.cost")]
    assert note["tokens"] == sum(len(text) for text in server.asked[:4])
