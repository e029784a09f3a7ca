"""HTTP endpoints of OpenAI's form: where they are, and how they are asked.

`OPENAI_BASE_URL` says where the endpoint is, `OPENAI_API_KEY` holds the key, if it wants one: the
names that clients and local servers of this form use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from benchmark.core.errors import UnavailableError

BASE_URL, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
RETRIES, BACKOFF, TIMEOUT = 5, 1.0, 120.0
"""Tries again so often, after 1, 2, 4, … seconds, or when the server says; seconds for a reply."""
WORTH_RETRYING = (408, 409, 429, 500, 502, 503, 504)


def require_address(who: str, model: str, path: str, offline: bool) -> None:
    """Raise `UnavailableError` where an endpoint may not be asked, or has no address.

    `who` wants `model` at `path`; all of it is for the message.
    """
    if offline:
        raise UnavailableError(f"{who}: an HTTP endpoint, and --offline is set")
    if not os.environ.get(BASE_URL):
        raise UnavailableError(
            f"{who}: {BASE_URL} is not set; it is the address of an endpoint that "
            f"serves {model!r}, without the final {path} ({KEY} holds its key)"
        )


def address(path: str) -> str:
    """The address of one of the endpoint's services."""
    return os.environ.get(BASE_URL, "").rstrip("/") + path


def open_session() -> Any:
    """Return a session that tries again where that is worth it, with the key if there is one.

    What is asked may be asked twice.
    """
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        total=RETRIES,
        backoff_factor=BACKOFF,
        status_forcelist=WORTH_RETRYING,
        allowed_methods=None,
        raise_on_status=False,
    )
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    if os.environ.get(KEY):
        session.headers["Authorization"] = f"Bearer {os.environ[KEY]}"
    return session


def ask(session: Any, where: str, body: Mapping[str, Any]) -> Any:
    """Post a request and return the reply; raises `UnavailableError` unless it is a good one."""
    import requests

    try:
        reply = session.post(where, json=body, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise UnavailableError(f"{where} did not answer: {error}") from error
    if reply.status_code != 200:
        raise UnavailableError(f"{where} answered {reply.status_code}: {reply.text[:200].strip()}")
    return reply
