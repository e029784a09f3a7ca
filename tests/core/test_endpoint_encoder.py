"""An endpoint is asked in batches, again where it fails, and never twice for a text.

The server is a real one on this machine; nothing of the client is replaced.
"""

import dataclasses
import json
import threading
import warnings

import numpy as np
import pytest
from endpoint_server import SECRET, serving, vector_of

from benchmark.core import endpoint
from benchmark.core import endpoint_encoder as module
from benchmark.core.encoders import EncoderSpec
from benchmark.core.endpoint_encoder import EndpointEncoder, VectorCache, require_endpoint
from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.library import Library, LibraryConfig
from benchmark.core.vector_cache import tokens_billed

SPEC = EncoderSpec("remote", endpoint="toy-model", dimension=3, normalise=False, max_length=100)
TEXTS = {"text": ["a", "bb", "ccc", "bb", " ", "dddd", "eeeee"]}


@pytest.fixture
def server(monkeypatch):
    with serving(monkeypatch) as server:
        yield server


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
    assert set(server.keys) == {f"Bearer {SECRET}"}
    assert steps == [(2, 5), (4, 5), (5, 5)]
    assert made.tokens_billed() == 15
    assert encoder(tmp_path).encode(TEXTS).tolist() == expected
    assert len(server.requests) == 3


def test_who_asks_at_the_same_time_pays_for_nothing_twice(server, tmp_path):
    """Two matrices with texts in common, encoded side by side."""
    asked, go = threading.Event(), threading.Event()

    def answer_late(reply):
        asked.set()
        go.wait(10)
        return reply

    server.plan = [answer_late]
    more = {"text": [*TEXTS["text"], "ffffff"]}
    askers = [threading.Thread(target=encoder(tmp_path).encode, args=(t,)) for t in (TEXTS, more)]
    askers[0].start()
    assert asked.wait(10)
    askers[1].start()
    askers[1].join(0.5)
    go.set()
    for asker in askers:
        asker.join(10)
    assert sorted(server.asked, key=len) == ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"]


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
        (
            lambda reply: {"data": [item | {"index": 0} for item in reply["data"]]},
            r"for the texts \[0, 0\], where each of 0 to 1",
        ),
        (
            lambda reply: {"data": [item | {"index": item["index"] + 1} for item in reply["data"]]},
            r"for the texts \[1, 2\]",
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
    assert "secret" not in str(caught.value)
    server.requests.clear()
    features = encoder(tmp_path).encode(TEXTS)
    assert server.asked == ["ccc", "dddd", "eeeee"]
    assert features[0].tolist() == vector_of("a")
    assert encoder(tmp_path).tokens_billed() == 15


@pytest.mark.parametrize("usage", [{"total_tokens": None}, None, "free", {"total_tokens": "many"}])
def test_a_reply_without_a_count_of_tokens_is_good(server, tmp_path, usage):
    server.plan = [lambda reply: reply | {"usage": usage}]
    made = encoder(tmp_path)
    assert made.encode(TEXTS)[2].tolist() == vector_of("ccc")
    assert made.tokens_billed() == 0


def test_a_request_that_is_too_much_is_halved(server, tmp_path):
    server.plan = [413, None, 400]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is cut
        features = encoder(tmp_path).encode(TEXTS)
    assert features[:, 0].tolist() == [1, 2, 3, 2, 0, 4, 5]
    assert [request["input"] for request in server.requests] == [
        ["a", "bb", "ccc", "dddd", "eeeee"],
        ["a", "bb"],
        ["ccc", "dddd", "eeeee"],
        ["ccc"],
        ["dddd", "eeeee"],
    ]


def test_texts_that_are_too_long_are_halved_and_counted(server, tmp_path):
    server.too_long = 3
    made = encoder(tmp_path)
    with pytest.warns(UserWarning, match="encoder remote: 2 texts were too long") as told:
        features = made.encode(TEXTS)
    assert len(told) == 1
    assert features[:, 0].tolist() == [1, 2, 3, 2, 0, 2, 2]
    assert made.spent.cut == 2
    asked = len(server.requests)
    assert made.encode(TEXTS).tolist() == features.tolist()
    assert len(server.requests) == asked
    assert (made.spent.cut, made.spent.tokens) == (0, 0)


def test_a_text_that_is_refused_to_the_last_is_named(server, tmp_path):
    texts = {"text": ["a", "the bb  is " + "long " * 20, "ccc", "dddd"]}
    server.too_long = 6
    with pytest.raises(UnavailableError) as caught:
        encoder(tmp_path).encode(texts)
    assert "text 2 of 4 ('the bb is long long" in str(caught.value)
    assert "and so is its first half: " in str(caught.value)
    assert "answered 400" in str(caught.value)
    assert "1 of 4 texts are embedded and kept" in str(caught.value)
    assert len(str(caught.value).partition("('")[2].partition("')")[0]) == 60
    server.requests.clear()
    server.too_long = 10**9
    encoder(tmp_path).encode(texts)
    assert "a" not in server.asked


def test_a_refusal_for_another_cause_ends_after_a_few_requests(server, tmp_path):
    """Such as a model that the server does not know."""
    server.plan = [400] * 1000
    texts = {"text": [f"text {i}" for i in range(128)]}
    with pytest.raises(UnavailableError, match=r"text 1 of 128 \('text 0'\)"):
        encoder(tmp_path).encode(texts)
    assert len(server.requests) == 9


def test_a_single_letter_has_no_half(server, tmp_path):
    server.plan = [400] * 9
    with pytest.raises(UnavailableError, match=r"text 1 of 1 \('a'\)"):
        encoder(tmp_path).encode({"text": ["a"]})
    assert server.asked == ["a"]


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
    held = {"text": ["eeeee", "a", "ffffff"], "label": [0, 1, 0]}
    root = write_assets({"me/toy/default/train": table, "me/toy/default/test": held})
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
    assert tokens_of_matrices(config.store) == [sum(len(text) for text in server.asked[:4])]
    before = len(server.asked)
    library.test_texts("toy").features("remote")
    test = sum(len(text) for text in server.asked[before:])
    assert test > 0
    assert tokens_of_matrices(config.store)[1:] == [test]
    assert tokens_billed(config.store / "features") == sum(len(text) for text in server.asked)


def tokens_of_matrices(store):
    """What each matrix was billed, the first one first."""
    notes = sorted((store / "features").glob("*.cost"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(path.read_text())["tokens"] for path in notes]
