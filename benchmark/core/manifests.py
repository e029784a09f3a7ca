"""Manifests: the sha256 sums that vouch for the files of an assets directory."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmark.core.errors import InputError
from benchmark.core.keys import sha256_file

HAND = "put there by hand"
"""The source of a file that its user put into the assets directory."""


@lru_cache(maxsize=16)
def _read(root: Path, _modified: float) -> Mapping[str, Mapping[str, Any]]:
    path = root / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise InputError(f"{path}: expected an object of file names")
    return manifest


def check_manifest(root: Path, relative: str) -> None:
    """Hold a file of an assets directory against the sha256 in its `manifest.json`.

    Raises `InputError` when the file differs, or when the directory has no manifest or no such
    entry: an unlisted file is one that nobody vouched for.
    """
    path = root / "manifest.json"
    if not path.is_file():
        raise InputError(
            f"{root} has no manifest.json; `python -m benchmark prepare` writes one, with the rows "
            "and sha256 of every file, also of those that you put there yourself: give it the same "
            f"--suite and --tasks, and --to {root.parent}"
        )
    entry = _read(root, path.stat().st_mtime).get(relative)
    if not isinstance(entry, dict) or "sha256" not in entry:
        raise InputError(f"{path}: no sha256 for {relative!r}; add it or run `prepare` again")
    file = root / relative
    if file_sha256(file) != entry["sha256"]:
        raise InputError(
            f"{file}: its sha256 differs from the one in {path}; "
            "the file is damaged or was edited: fetch it again, or update the manifest"
        )


def entry_of(root: Path, relative: str) -> Mapping[str, Any]:
    """What the manifest says of a file; empty where it says nothing, or there is none."""
    manifest = root / "manifest.json"
    if not manifest.is_file():
        return {}
    entry = _read(root, manifest.stat().st_mtime).get(relative)
    return entry if isinstance(entry, dict) else {}


def is_vouched_for(root: Path, relative: str, source: str) -> bool:
    """Whether a file is there, unchanged since it was entered, and from this source."""
    file, entry = root / relative, entry_of(root, relative)
    return (
        file.is_file()
        and entry.get("source") == source
        and entry.get("sha256") == file_sha256(file)
    )


def is_by_hand(root: Path, relative: str) -> bool:
    """Whether a file is there that was not fetched: no entry names another source for it."""
    return (root / relative).is_file() and entry_of(root, relative).get("source", HAND) == HAND


def vouch(root: Path, relative: str, source: str, facts: Mapping[str, Any]) -> None:
    """Enter a file with its sha256, its source and further facts, atomically."""
    path = root / "manifest.json"
    manifest = dict(_read(root, path.stat().st_mtime)) if path.is_file() else {}
    manifest[relative] = {**facts, "sha256": sha256_file(root / relative), "source": source}
    temporary = path.with_name(f".manifest.{uuid.uuid4().hex[:8]}")
    temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, path)
    _read.cache_clear()


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, computed once while its size and time of change stay the same."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=512)
def _sha256(path: Path, _size: int, _modified: int) -> str:
    return sha256_file(path)
