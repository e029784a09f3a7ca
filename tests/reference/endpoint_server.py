"""An OpenAI-style server of embeddings on this machine, which can do wrong as a test wishes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from benchmark.core import endpoint

SECRET = "sk-secret/key"


def vector_of(text: str) -> list[float]:
    """What the server knows of a text."""
    return [float(len(text)), float(text.count("b")), 1.0]


class EmbeddingServer:
    """Embeds texts by their lengths, and refuses a request with a text that is `too_long`.

    `plan` holds what to do wrong with the next requests, None for nothing: a status, which is sent
    with an error that repeats what it was asked by whom, as some servers do; a status and headers;
    or a function that spoils the reply.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.plan: list[Any] = []
        self.too_long = 10**9
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                who = self.headers.get("Authorization")
                outer.requests.append(body | {"path": self.path})
                outer.keys.append(who)
                status, headers, reply = outer._reply(body, who)
                content = json.dumps(reply).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.http.block_on_close = False
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.port = self.http.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def _reply(self, body: dict[str, Any], who: str | None) -> tuple[int, dict[str, str], Any]:
        texts = body["input"]
        fault = self.plan.pop(0) if self.plan else None
        if fault is None and max(map(len, texts)) > self.too_long:
            fault = 400
        status, headers = fault if isinstance(fault, tuple) else (fault, {})
        if isinstance(status, int):
            return status, headers, {"error": f"not for you, {who}"}
        data = [{"index": i, "embedding": vector_of(text)} for i, text in enumerate(texts)]
        reply = {"data": data[::-1], "usage": {"total_tokens": sum(map(len, texts))}}
        return 200, {}, fault(reply) if callable(fault) else reply

    @property
    def asked(self) -> list[str]:
        """Every text that was in a request, in order."""
        return [text for request in self.requests for text in request["input"]]

    def stop(self) -> None:
        """Refuse all connections from now on."""
        self.http.shutdown()
        self.http.server_close()


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    """A server that the benchmark is told of; tries follow each other without a wait."""
    server = EmbeddingServer()
    monkeypatch.setenv(endpoint.BASE_URL, server.url)
    monkeypatch.setenv(endpoint.KEY, SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(endpoint, "BACKOFF", 0.001)
    endpoint.ask_all_again()
    yield server
    server.stop()
