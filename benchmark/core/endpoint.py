"""HTTP endpoints of OpenAI's form: where they are, and how they are asked.

`OPENAI_BASE_URL` says where the endpoint is, `OPENAI_API_KEY` holds the key, if it wants one: the
names that clients and local servers of this form use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from benchmark.core.endpoint_key import BASE_URL, KEY, endpoint_key, redacted
from benchmark.core.errors import UnavailableError

RETRIES, BACKOFF, TIMEOUT = 5, 1.0, 120.0
"""Tries again so often, after 1, 2, 4, … seconds, or when the server says; seconds for a reply."""
WORTH_RETRYING = (408, 409, 429, 500, 502, 503, 504)
SHOWN = 200
"""Letters of a server's error that are repeated."""
MOST_TOKENS = 2**53
"""More than that is no number of tokens."""

_gave_up: dict[tuple[str, str], str] = {}
"""Why an address did not answer for a model, after all tries: others of this run ask in vain."""


class EndpointError(UnavailableError):
    """An endpoint failed; `status` is what it answered, 0 if nothing. The message is redacted."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(redacted(message))
        self.status = status


def require_address(who: str, model: str, path: str, offline: bool) -> None:
    """Raise `UnavailableError` where an endpoint may not be asked, or has no address.

    `who` wants `model` at `path`; all of it is for the message. Raises `InputError` for a key that
    cannot be sent.
    """
    if offline:
        raise UnavailableError(f"{who}: an HTTP endpoint, and --offline is set")
    if not os.environ.get(BASE_URL):
        raise UnavailableError(
            f"{who}: {BASE_URL} is not set; it is the address of an endpoint that "
            f"serves {model!r}, without the final {path} ({KEY} holds its key)"
        )
    endpoint_key()


def address(path: str) -> str:
    """The address of one of the endpoint's services."""
    return os.environ.get(BASE_URL, "").strip().rstrip("/") + path


def open_session() -> Any:
    """Return a session that tries again where that is worth it, with the key if there is one.

    What is asked may be asked twice.
    """
    import requests
    from requests.adapters import HTTPAdapter

    from benchmark.core.retries import CappedRetry

    retry = CappedRetry(
        total=RETRIES,
        backoff_factor=BACKOFF,
        status_forcelist=WORTH_RETRYING,
        allowed_methods=None,
        raise_on_status=False,
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    if key := endpoint_key():
        session.headers["Authorization"] = f"Bearer {key}"
    return session


def ask(session: Any, where: str, body: Mapping[str, Any]) -> Any:
    """Post a request and return the reply; raises `EndpointError` unless it is a good one.

    An address that gave up on a model is not asked for it again before `ask_all_again`: each set of
    a run would wait through all tries for the same end.
    """
    import requests

    wanted = (where, str(body["model"]))
    if wanted in _gave_up:
        raise EndpointError(_gave_up[wanted])
    try:
        reply = session.post(where, json=body, timeout=TIMEOUT)
    except (requests.RequestException, UnicodeError) as error:
        failure = EndpointError(f"{where} did not answer: {error}")
        if isinstance(error, requests.ConnectionError | requests.Timeout):
            _gave_up[wanted] = str(failure)
        raise failure from error
    if reply.status_code != 200:
        said = redacted(reply.text)[:SHOWN].strip()  # in this order: half a key is one too
        failure = EndpointError(f"{where} answered {reply.status_code}: {said}", reply.status_code)
        if reply.status_code in WORTH_RETRYING:
            _gave_up[wanted] = str(failure)
        raise failure
    return reply


def ask_all_again() -> None:
    """Forget which endpoints gave up: a new run begins."""
    _gave_up.clear()


def tokens_of(content: Any) -> int:
    """Tokens that a reply says it cost; 0 where it says no number, for the reply is paid all the
    same."""
    usage = content.get("usage") if isinstance(content, Mapping) else None
    count = usage.get("total_tokens") if isinstance(usage, Mapping) else None
    return int(count) if isinstance(count, int | float) and 0 <= count < MOST_TOKENS else 0
