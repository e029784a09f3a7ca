"""Encoders behind HTTP endpoints of OpenAI's form, and the cache of what they have answered."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.encoders import EncoderSpec, Progress, unit_length
from benchmark.core.endpoint import address, ask, open_session, require_address
from benchmark.core.errors import BenchmarkError, UnavailableError
from benchmark.core.services import Columns

TEXTS_PER_REQUEST = 128
CHARACTERS_PER_REQUEST = 200_000
CHARACTERS_PER_TOKEN = 3
PATH = "/embeddings"


def require_endpoint(spec: EncoderSpec, offline: bool) -> None:
    """Raise `UnavailableError` where the endpoint may not be asked, or has no address."""
    require_address(f"encoder {spec.name}", spec.endpoint, PATH, offline)


class VectorCache:
    """Vectors by the hash of what was encoded, and the tokens that they cost, in one SQLite file.

    A reply is written in one transaction, so that nothing that was paid for is ever lost.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "endpoints.sqlite"

    def find(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the vectors that are there."""
        found = {}
        with self._open() as database:
            for key in keys:
                row = database.execute("SELECT vector FROM vectors WHERE key = ?", (key,))
                for (vector,) in row:
                    found[key] = np.frombuffer(vector, dtype=np.float32)
        return found

    def add(self, encoder: str, keys: Sequence[bytes], vectors: np.ndarray, tokens: int) -> None:
        """Keep one reply and its cost."""
        with self._open() as database:
            rows = [(k, v.tobytes()) for k, v in zip(keys, vectors, strict=True)]
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
            database.execute("INSERT INTO replies VALUES (?, ?)", (encoder, tokens))

    def tokens(self, encoder: str) -> int:
        """Tokens that all replies of an encoder cost."""
        with self._open() as database:
            query = "SELECT COALESCE(SUM(tokens), 0) FROM replies WHERE encoder = ?"
            return int(database.execute(query, (encoder,)).fetchone()[0])

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=60)) as database, database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)"
                )
                database.execute(
                    "CREATE TABLE IF NOT EXISTS replies (encoder TEXT, tokens INTEGER)"
                )
                yield database
        except sqlite3.DatabaseError as error:
            raise BenchmarkError(
                f"{self.path}: {error}; if it is damaged, remove it and ask for all again"
            ) from error


class EndpointEncoder:
    """Features from an endpoint: in batches, with retries, each text asked for once.

    Texts of a pair are joined by a line break. A text of more than `max_length` tokens, taken to be
    of three characters, is cut there; a blank one is not sent and has zeros. The fingerprint knows
    the name of the model and not who serves it: two servers of one name must serve one model.
    """

    def __init__(self, spec: EncoderSpec, cache: VectorCache) -> None:
        self.spec = spec
        self.cache = cache
        self.fingerprint = spec.fingerprint(None)
        self.address = address(PATH)

    def encode(self, columns: Columns, progress: Progress | None = None) -> np.ndarray:
        """Return features of n texts (or pairs), float32, shape (n, d).

        Raises `UnavailableError` when the endpoint fails for good; what it had answered is kept,
        and the next call goes on from there.
        """
        rows = [self._row(texts) for texts in zip(*columns.values(), strict=True)]
        keys = [self._key(row) for row in rows]
        asked = {key: row for key, row in zip(keys, rows, strict=True) if row}
        vectors = self.cache.find(list(asked))
        missing = [key for key in asked if key not in vectors]
        done = len(asked) - len(missing)
        with contextlib.ExitStack() as stack:
            session = stack.enter_context(open_session()) if missing else None
            for batch in _batches(missing, asked):
                try:
                    found, tokens = self._ask(session, [asked[key] for key in batch])
                except UnavailableError as error:
                    raise UnavailableError(
                        f"encoder {self.spec.name}: {error}; {done:,} of {len(asked):,} texts are "
                        "embedded and kept: run it again to go on"
                    ) from error
                self.cache.add(self.fingerprint, batch, found, tokens)
                vectors.update(zip(batch, found, strict=True))
                done += len(batch)
                if progress is not None:
                    progress(done, len(asked))
        zeros = np.zeros(self.spec.dimension, dtype=np.float32)
        features = np.array([vectors.get(key, zeros) for key in keys], dtype=np.float32)
        features = features.reshape(len(keys), self.spec.dimension)
        return unit_length(features) if self.spec.normalise else features

    def tokens_billed(self) -> int:
        """Tokens that the endpoint has counted for this encoder, in all calls with this store."""
        return self.cache.tokens(self.fingerprint)

    def _row(self, texts: Sequence[str]) -> str:
        if not any(text.strip() for text in texts):
            return ""
        row = self.spec.prefix + "\n".join(texts)
        return row[: CHARACTERS_PER_TOKEN * self.spec.max_length]

    def _key(self, row: str) -> bytes:
        body = f"{self.fingerprint}\0{row}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(body).digest()

    def _ask(self, session: Any, rows: Sequence[str]) -> tuple[np.ndarray, int]:
        """Ask for the vectors of some rows; returns them and the tokens billed."""
        body = {"model": self.spec.endpoint, "input": list(rows), "encoding_format": "float"}
        reply = ask(session, self.address, body)
        try:
            content = reply.json()
            data = sorted(content["data"], key=lambda item: item["index"])
            vectors = np.array([item["embedding"] for item in data], dtype=np.float32)
            tokens = int((content.get("usage") or {}).get("total_tokens", 0))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnavailableError(
                f"{self.address} answered what is no list of embeddings ({error!r})"
            ) from error
        expected = (len(rows), self.spec.dimension)
        if vectors.shape != expected or not np.isfinite(vectors).all():
            raise UnavailableError(
                f"{self.address} answered with an array of shape {vectors.shape} for "
                f"{len(rows)} texts, where finite numbers of shape {expected} were expected "
                f"(the catalogue's dimension of {self.spec.name} is {self.spec.dimension})"
            )
        return vectors, tokens


def _batches(keys: Sequence[bytes], rows: dict[bytes, str]) -> Iterator[list[bytes]]:
    """Cut keys into requests of so many texts and characters at most."""
    batch: list[bytes] = []
    room = CHARACTERS_PER_REQUEST
    for key in keys:
        if batch and (len(batch) == TEXTS_PER_REQUEST or len(rows[key]) > room):
            yield batch
            batch, room = [], CHARACTERS_PER_REQUEST
        batch.append(key)
        room -= len(rows[key])
    if batch:
        yield batch
