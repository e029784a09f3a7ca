"""Content keys: what a stored thing is made of, hashed. All keys are computed here.

A `Key` keeps its ingredients beside its digest, so that `plan --why` can name the one that changed.
Raise the version of a kind when its *meaning* changes; old entries are then simply not found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

VERSIONS = {"set": 1, "run": 1, "features": 1, "state": 1, "part": 1, "cell": 1}


def canonical_json(value: Any) -> str:
    """Serialise to the one JSON text that equal values share (sorted keys, no NaN)."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


@dataclass(frozen=True)
class Key:
    """A digest and the ingredients that it stands for."""

    kind: str
    digest: str
    ingredients: Mapping[str, Any]

    def __str__(self) -> str:
        return self.digest

    @classmethod
    def of(cls, kind: str, **ingredients: Any) -> Key:
        """Hash `ingredients` under the current version of `kind` (a key of `VERSIONS`)."""
        body = {"kind": kind, "version": VERSIONS[kind], **ingredients}
        return cls(kind, sha256_text(canonical_json(body))[:40], body)


def set_key(
    *,
    method: str,
    params: Mapping[str, Any],
    method_version: int,
    pool: str,
    dpc: int,
    set_index: int,
    protocol_seed: int,
    encoders: Mapping[str, str],
    models: Mapping[str, str] | None = None,
) -> Key:
    """Key of one distilled set. `pool` is a fingerprint; `encoders` maps name to fingerprint.

    So does `models`, which is left out where there are none.
    """
    return Key.of(
        "set",
        method=method,
        params=dict(params),
        method_version=method_version,
        pool=pool,
        dpc=dpc,
        set_index=set_index,
        protocol_seed=protocol_seed,
        encoders=dict(encoders),
        **({"models": dict(models)} if models else {}),
    )


def run_key(
    *,
    set_hash: str,
    learner: str,
    recipe: Mapping[str, Any],
    learner_version: int,
    models: Mapping[str, str],
    test: str,
    metric: str,
    seed: int | None,
) -> Key:
    """Key of one training run; `seed` is None for a learner that is deterministic."""
    return Key.of(
        "run",
        set=set_hash,
        learner=learner,
        recipe=dict(recipe),
        learner_version=learner_version,
        models=dict(models),
        test=test,
        metric=metric,
        seed=seed,
    )


def features_key(*, texts: str, encoder: str) -> Key:
    """Key of one feature matrix: the fingerprint of the texts and that of the encoder."""
    return Key.of("features", texts=texts, encoder=encoder)


def state_key(
    *,
    method: str,
    params: Mapping[str, Any],
    method_version: int,
    pool: str,
    protocol_seed: int,
    encoders: Mapping[str, str],
    models: Mapping[str, str] | None = None,
) -> Key:
    """Key of what a method learned once for a pool; budgets share it."""
    return Key.of(
        "state",
        method=method,
        params=dict(params),
        method_version=method_version,
        pool=pool,
        protocol_seed=protocol_seed,
        encoders=dict(encoders),
        **({"models": dict(models)} if models else {}),
    )


def changed_ingredients(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name each ingredient that differs, as `name: old -> new`, for a reader."""
    lines = []
    for name in sorted(set(old) | set(new)):
        before, after = old.get(name, "(absent)"), new.get(name, "(absent)")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += [f"{name}.{line}" for line in changed_ingredients(before, after)]
        elif before != after:
            lines.append(f"{name}: {before} -> {after}")
    return lines


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint_texts(columns: Mapping[str, Sequence[str]]) -> str:
    """Hash text columns; lengths are hashed with the bytes, so no two splits of a text collide."""
    digest = hashlib.sha256()
    for name, texts in columns.items():
        digest.update(f"{name}\0{len(texts)}\0".encode())
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        digest.update(np.fromiter(map(len, encoded), np.int64, len(encoded)).tobytes())
        digest.update(b"".join(encoded))
    return digest.hexdigest()[:40]


def fingerprint_array(array: np.ndarray) -> str:
    """Hash an array's dtype, shape and bytes."""
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.tobytes())
    return digest.hexdigest()[:40]


def combine(*parts: str | int | Iterable[str]) -> str:
    """Hash several fingerprints into one; the order counts."""
    plain = [part if isinstance(part, str | int) else list(part) for part in parts]
    return sha256_text(canonical_json(plain))[:40]
