"""The key of an endpoint, and how it is kept out of whatever is shown or stored.

Messages of requests and of servers end in the store, on pages and in MLflow, and both repeat what
they were sent: so every message about an endpoint goes through `redacted`.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

from benchmark.core.errors import InputError

BASE_URL, KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
HIDDEN = "***"
SHORTEST = 4
"""Letters of a secret: local servers want `x` for a key, and hiding every x would hide the message;
shorter ones are hidden where they are sent."""


def endpoint_key() -> str:
    """The key, "" if there is none.

    Raises `InputError`, which does not show it, for one that no HTTP header can hold.
    """
    key = _key()
    for place, letter in enumerate(key, 1):
        if not letter.isprintable() or ord(letter) > 0xFF:
            raise InputError(
                f"{KEY}: character {place} of {len(key)} cannot be sent in an HTTP header (the key "
                "is not shown here); was more than the key copied?"
            )
    return key


def redacted(text: str) -> str:
    """Hide the key, and what stands before the host in the endpoint's address."""
    forms = {form for secret in _secrets() for form in _forms(secret)}
    if not forms:
        return text
    longest_first = sorted(forms, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), HIDDEN, text)


def _key() -> str:
    return os.environ.get(KEY, "").strip()


def _secrets() -> Iterator[str]:
    """What may be shown nowhere, as it is set and as it is sent."""
    if key := _key():
        yield f"Bearer {key}"
        yield from _long_enough(key)
    for given in _user_infos(os.environ.get(BASE_URL, "")):
        yield f"{given}@"
        user, _, password = given.partition(":")
        sent = f"{unquote(user)}:{unquote(password)}".encode("latin-1", "replace")
        yield base64.b64encode(sent).decode()
        pieces = {given, user, password, *re.split(r"[:/?#@]", given)}
        yield from _long_enough(*pieces, *map(unquote, pieces))


def _long_enough(*secrets: str) -> Iterator[str]:
    return (secret for secret in secrets if len(secret) >= SHORTEST)


def _user_infos(url: str) -> Iterator[str]:
    """What may be the user info of an address.

    Of an address that is none, as with a `/` in the password, readers differ in what they take for
    it; so all that stands before any `@` is.
    """
    found = re.match(r"\s*(?:[^/@]*//)?", url)
    rest = url[found.end() :] if found else url
    return (rest[:place] for place, letter in enumerate(rest) if letter == "@" and place)


def _forms(secret: str) -> tuple[str, ...]:
    """A secret as it is, and as it stands in JSON, in a Python literal, in a URL and in HTML."""
    return (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        quote(secret, safe=""),
        html.escape(secret),
    )
