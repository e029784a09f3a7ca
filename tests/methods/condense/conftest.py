"""One thread, as tiny matrices gain nothing from more; a server that writes."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from benchmark.core import endpoint
from benchmark.testing import toy_pool


@pytest.fixture(autouse=True)
def _single(one_thread):
    """All tests here."""


@pytest.fixture
def pool():
    return toy_pool(2, per_class=10)


class Server:
    """Answers with words of the class that it is asked for; `plan` has other answers for it."""

    def __init__(self):
        self.requests: list[dict] = []
        self.plan: list = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append({**body, "path": self.path})
                made = outer.plan.pop(0) if outer.plan else outer.good
                status, content = made if isinstance(made, tuple) else (200, made(body))
                if isinstance(content, str):
                    content = {
                        "choices": [{"message": {"role": "assistant", "content": content}}],
                        "usage": {"total_tokens": 100},
                    }
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.block_on_close = False
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def good(self, body, onset=None):
        prompt = body["messages"][0]["content"]
        if "Write" not in prompt:
            return "words of the class"
        onset = onset or re.search(r'new examples of the class "class (.)"', prompt)[1]
        seed = body["seed"]
        words = [onset + end for end in ("ando", "elim", "isor", "ovat")]
        rng = np.random.default_rng(seed)
        return "Here they are:\n" + "\n".join(
            f"{i}. {' '.join(rng.choice(words, 4))} {' '.join(rng.choice(['the', 'of'], 3))}"
            for i in range(1, 4)
        )


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setenv(endpoint.BASE_URL, f"http://127.0.0.1:{server.http.server_port}/v1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(endpoint, "BACKOFF", 0.001)
    monkeypatch.setattr(endpoint, "RETRIES", 1)
    endpoint.ask_all_again()
    yield server
    server.http.shutdown()
    server.http.server_close()
