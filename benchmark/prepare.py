"""Fill an assets directory on a machine that has network, for one that has none."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmark.core.assets import PACKAGE, ModelSpec, all_model_files, is_model
from benchmark.core.catalogue import Suite
from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.keys import sha256_file
from benchmark.core.learner import build_learner, expand_panels
from benchmark.core.library import Library
from benchmark.core.manifests import HAND, is_by_hand, is_vouched_for, vouch
from benchmark.core.method import METHODS


def prepare(
    library: Library, suite: Suite, target: Path, tell: Callable[[str], None]
) -> list[tuple[str, str]]:
    """Copy a suite's splits and models to `target`, as `DIR/datasets/…` and `DIR/models/…`.

    Each part has a `manifest.json` of rows and sha256 sums. What is there already and unchanged is
    left, and what was put there by hand, under a name without a pinned revision, is entered as it
    is. Returns (what, why) for everything that could not be had.
    """
    missing = []
    for name in suite.tasks:
        try:
            _copy_task(library, name, target / "datasets", tell)
        except UnavailableError as error:
            missing.append((f"task {name}", str(error)))
    for name in _models_of(library, suite):
        try:
            _copy_model(library, name, target / "models", tell)
        except UnavailableError as error:
            missing.append((f"model {name}", str(error)))
    return missing


def _models_of(library: Library, suite: Suite) -> list[str]:
    """Names of all models that the suite's methods and learners ask for."""
    blocks = [(suite.methods, suite.learners), *((b.methods, b.learners) for b in suite.cells)]
    names: list[str] = []
    for methods, learners in blocks:
        adapters = [METHODS.build(name) for name in methods]
        encoders = {suite.encoder or encoder for method in adapters for encoder in method.encoders}
        names += [model for method in adapters for model in method.models]
        for learner in map(build_learner, expand_panels(learners)):
            names += learner.models
            encoders |= set(learner.encoders)
        names += [library.catalogue.encoder(encoder).model for encoder in sorted(encoders)]
    return [name for name in dict.fromkeys(names) if name]  # an endpoint has no model


def _copy_task(library: Library, name: str, root: Path, tell: Callable[[str], None]) -> None:
    task = library.catalogue.task(name)
    if task.dataset.startswith(PACKAGE):
        tell(f"{name}: comes from the package {task.dataset.removeprefix(PACKAGE).split('/')[0]}")
        return
    source = f"{task.dataset} at {task.revision or 'an unpinned revision'}"
    splits = [task.train] if task.carve is not None else [task.train, task.test]
    for split in splits:
        relative = f"{task.dataset}/{task.config}/{split}.parquet"
        mine = task.revision is None and is_by_hand(root, relative)
        if is_vouched_for(root, relative, HAND if mine else source):
            tell(f"{name}: {split} is there")
            continue
        if mine:
            entry = _shape(root / relative)
            vouch(root, relative, HAND, entry)
            tell(f"{name}: {split}, {entry['rows']:,} rows that were there, entered")
            continue
        table = library.assets.table(task.dataset, task.config, split, task.revision, task.sha256)
        with _written_atomically(root / relative) as temporary:
            table.to_parquet(temporary, index=False)
        entry = {"rows": len(table), "columns": [str(column) for column in table.columns]}
        vouch(root, relative, source, entry)
        tell(f"{name}: {split}, {len(table):,} rows")


def _copy_model(library: Library, name: str, root: Path, tell: Callable[[str], None]) -> None:
    spec = library.catalogue.model(name)
    if spec.revision is None and _enter_model(root, spec):
        tell(f"model {name}: {spec.hub}, which was there, entered")
        return
    folder = library.model_folder(name)
    source = f"{spec.hub} at {spec.revision or 'an unpinned revision'}"
    for path in all_model_files(folder):
        relative = f"{spec.hub}/{path.relative_to(folder).as_posix()}"
        if is_vouched_for(root, relative, source) and sha256_file(path) == sha256_file(
            root / relative
        ):
            continue
        with _written_atomically(root / relative) as temporary:
            shutil.copyfile(path, temporary)
        vouch(root, relative, source, {})
    tell(f"model {name}: {spec.hub}")


def _enter_model(root: Path, spec: ModelSpec) -> bool:
    """Enter the files of a model that its user put there; False where there is none."""
    folder = root / spec.hub
    if not is_model(folder, spec):
        return False
    files = [path.relative_to(root).as_posix() for path in all_model_files(folder)]
    if not all(is_by_hand(root, relative) for relative in files):
        return False
    for relative in files:
        if not is_vouched_for(root, relative, HAND):
            vouch(root, relative, HAND, {})
    return True


def _shape(path: Path) -> dict[str, Any]:
    """Rows and columns of a table; raises `InputError` where it is no Parquet file."""
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(path) as table:
            return {"rows": table.metadata.num_rows, "columns": table.schema_arrow.names}
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file: {error}") from error


@contextlib.contextmanager
def _written_atomically(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
