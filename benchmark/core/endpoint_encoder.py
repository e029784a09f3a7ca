"""Encoders behind HTTP endpoints of OpenAI's form."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmark.core.encoders import EncoderSpec, Progress, unit_length
from benchmark.core.endpoint import (
    EndpointError,
    address,
    ask,
    open_session,
    require_address,
    tokens_of,
)
from benchmark.core.errors import UnavailableError
from benchmark.core.services import Columns
from benchmark.core.vector_cache import VectorCache

TEXTS_PER_REQUEST = 128
CHARACTERS_PER_REQUEST = 200_000
CHARACTERS_PER_TOKEN = 3
PATH = "/embeddings"
TOO_MUCH = (400, 413)
"""What servers answer to a request or a text that is too long for them."""
FIRST_WORDS = 60
"""Letters of a text that an error names it by."""


def require_endpoint(spec: EncoderSpec, offline: bool) -> None:
    """Raise `UnavailableError` where the endpoint may not be asked, or has no address."""
    require_address(f"encoder {spec.name}", spec.endpoint, PATH, offline)


@dataclass
class Spent:
    """What a call took: the tokens that were billed, the texts that the server found too long."""

    tokens: int = 0
    cut: int = 0


@dataclass(frozen=True)
class _Text:
    """A text to ask for: the key of its vector, the row where it first stands."""

    key: bytes
    text: str
    row: int


class EndpointEncoder:
    """Features from an endpoint: in batches, with retries, each text asked for once.

    Texts of a pair are joined by a line break. A text of more than `max_length` tokens, taken to be
    of three characters, is cut there; one that the server refuses all the same is cut to its first
    half; a blank one is not sent and has zeros. The fingerprint knows the name of the model and not
    who serves it: two servers of one name must serve one model.

    `spent` is what the last `encode` took.
    """

    def __init__(self, spec: EncoderSpec, cache: VectorCache) -> None:
        self.spec = spec
        self.cache = cache
        self.fingerprint = spec.fingerprint(None)
        self.address = address(PATH)
        self.spent = Spent()

    def encode(self, columns: Columns, progress: Progress | None = None) -> np.ndarray:
        """Return features of n texts (or pairs), float32, shape (n, d).

        Raises `UnavailableError` when the endpoint fails for good; what it had answered is kept,
        and the next call goes on from there.
        """
        self.spent = Spent()
        texts = [self._text(row, of) for row, of in enumerate(zip(*columns.values(), strict=True))]
        asked: dict[bytes, _Text] = {}
        for text in texts:
            if text.text:
                asked.setdefault(text.key, text)
        vectors = self.cache.find(list(asked))
        if len(vectors) < len(asked):
            with self.cache.asking(self.fingerprint):
                vectors = self.cache.find(list(asked))  # others may have asked in the meantime
                missing = [text for key, text in asked.items() if key not in vectors]
                if missing:
                    self._ask_all(missing, vectors, (len(asked), len(texts)), progress)
        zeros = np.zeros(self.spec.dimension, dtype=np.float32)
        features = np.array([vectors.get(text.key, zeros) for text in texts], dtype=np.float32)
        features = features.reshape(len(texts), self.spec.dimension)
        return unit_length(features) if self.spec.normalise else features

    def tokens_billed(self) -> int:
        """Tokens that the endpoint has counted for this encoder, in all calls with this store."""
        return self.cache.tokens(self.fingerprint)

    def _ask_all(
        self,
        missing: Sequence[_Text],
        vectors: dict[bytes, np.ndarray],
        sizes: tuple[int, int],
        progress: Progress | None,
    ) -> None:
        """Put what is missing into `vectors`; `sizes` are all texts to ask for, and all rows."""
        to_ask, rows = sizes
        with contextlib.ExitStack() as stack:
            session = stack.enter_context(open_session())
            stack.callback(self._tell_what_was_cut)
            try:
                for batch in _batches(missing):
                    for part, found, tokens in self._replies(session, batch, rows):
                        keys = [text.key for text in part]
                        self.cache.add(self.fingerprint, keys, found, tokens)
                        self.spent.tokens += tokens
                        vectors.update(zip(keys, found, strict=True))
                        if progress is not None:
                            progress(len(vectors), to_ask)
            except UnavailableError as error:
                raise EndpointError(
                    f"encoder {self.spec.name}: {error}; {len(vectors):,} of {to_ask:,} texts are "
                    "embedded and kept: run it again to go on"
                ) from error

    def _replies(
        self, session: Any, texts: Sequence[_Text], rows: int
    ) -> Iterator[tuple[Sequence[_Text], np.ndarray, int]]:
        """Texts, their vectors and the tokens billed, reply by reply.

        A request that the server refuses is halved, down to the text that it is refused for; of
        that, the first half is asked for.
        """
        try:
            found, tokens = self._ask(session, texts)
        except EndpointError as error:
            if error.status not in TOO_MUCH:
                raise
            if len(texts) > 1:
                middle = len(texts) // 2
                yield from self._replies(session, texts[:middle], rows)
                yield from self._replies(session, texts[middle:], rows)
                return
            found, tokens = self._ask_for_half(session, texts[0], rows, error)
        yield texts, found, tokens

    def _ask_for_half(
        self, session: Any, text: _Text, rows: int, refusal: EndpointError
    ) -> tuple[np.ndarray, int]:
        half = replace(text, text=text.text[: len(text.text) // 2])
        try:
            if not half.text.strip():
                raise refusal
            answered = self._ask(session, [half])
        except EndpointError as error:
            if error.status not in TOO_MUCH:
                raise
            first = " ".join(text.text.split())[:FIRST_WORDS]
            raise EndpointError(
                f"text {text.row + 1:,} of {rows:,} ({first!r}) is refused, and so is its first "
                f"half: {error}",
                error.status,
            ) from error
        self.spent.cut += 1
        return answered

    def _tell_what_was_cut(self) -> None:
        if self.spent.cut:
            texts = "1 text was" if self.spent.cut == 1 else f"{self.spent.cut:,} texts were"
            warnings.warn(
                f"encoder {self.spec.name}: {texts} too long for the endpoint and cut to the first "
                "half",
                stacklevel=1,
            )

    def _text(self, row: int, texts: Sequence[str]) -> _Text:
        text = ""
        if any(part.strip() for part in texts):
            text = self.spec.prefix + "\n".join(texts)
            text = text[: CHARACTERS_PER_TOKEN * self.spec.max_length]
        body = f"{self.fingerprint}\0{text}".encode("utf-8", "surrogatepass")
        return _Text(hashlib.sha256(body).digest(), text, row)

    def _ask(self, session: Any, texts: Sequence[_Text]) -> tuple[np.ndarray, int]:
        """Ask for the vectors of some texts; returns them and the tokens billed."""
        body = {
            "model": self.spec.endpoint,
            "input": [text.text for text in texts],
            "encoding_format": "float",
        }
        reply = ask(session, self.address, body)
        try:
            content = reply.json()
            data = sorted(content["data"], key=lambda item: item["index"])
            vectors = np.array([item["embedding"] for item in data], dtype=np.float32)
            places = [item["index"] for item in data]
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise EndpointError(
                f"{self.address} answered what is no list of embeddings ({error!r})"
            ) from error
        expected = (len(texts), self.spec.dimension)
        if vectors.shape != expected or not np.isfinite(vectors).all():
            raise EndpointError(
                f"{self.address} answered with an array of shape {vectors.shape} for "
                f"{len(texts)} texts, where finite numbers of shape {expected} were expected "
                f"(the catalogue's dimension of {self.spec.name} is {self.spec.dimension})"
            )
        if places != list(range(len(texts))):
            raise EndpointError(
                f"{self.address} answered with embeddings for the texts {places[:10]}, where each "
                f"of 0 to {len(texts) - 1} was asked for once"
            )
        return vectors, tokens_of(content)


def _batches(texts: Sequence[_Text]) -> Iterator[list[_Text]]:
    """Cut texts into requests of so many texts and characters at most."""
    batch: list[_Text] = []
    room = CHARACTERS_PER_REQUEST
    for text in texts:
        if batch and (len(batch) == TEXTS_PER_REQUEST or len(text.text) > room):
            yield batch
            batch, room = [], CHARACTERS_PER_REQUEST
        batch.append(text)
        room -= len(text.text)
    if batch:
        yield batch
