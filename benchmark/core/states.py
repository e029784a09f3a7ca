"""Prepared states: folders that are filled once, by one process, and can be resumed after a kill.

A method's state is its own. A *part* is something that several methods or variants learn alike (a
language model of the pool, trained learners), kept under the key of what it is made of, so that it
is made once for all of them.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.journal import Journal
from benchmark.core.keys import Key
from benchmark.core.locks import kernel_lock
from benchmark.core.method import Method
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from benchmark.core.state_digest import DESCRIPTION, damage, seal, unreadable

PARTIAL, DAMAGED = ".partial", ".damaged"
PHASE, FOUND = "phase_", "found_"
NOTE = "note_"  # facts of one set, from its method; the others are of what all sets share
SECONDS = "seconds"  # the note of a set that says how long its making took, over all tries


def prepare_state(method: Method, pool: Pool, folder: Path, seed: int) -> Path:
    """Return the folder of a method's prepared state; made by one process, the others wait."""
    described = {"method": method.name, "task": pool.task, "params": method.params()}
    return _made_once(
        folder, described, lambda partial: method.prepare(pool, numpy_generator(seed), partial)
    )


def shared_part(
    folder: Path,
    pool: Pool,
    name: str,
    ingredients: Mapping[str, Any],
    make: Callable[[Path, np.random.Generator], None],
) -> Path:
    """Return the folder of a part that methods share, beside the state `folder` that asks for it.

    Parameters
    ----------
    folder : the folder that `Method.prepare` was given.
    name : what the part is, in a word; `ingredients` are all that its content depends on besides
        the pool. The generator is made from both, not from the method.
    make : fills the folder that it is given; after a kill it finds there what it had written.
    """
    body = {"name": name, "pool": pool.fingerprint, **ingredients}
    key = Key.of("part", **body)
    seed = seed_of("part", key=key.digest)
    return _made_once(
        folder.parent / f"part-{key.digest}",
        {"part": name, "task": pool.task, "params": dict(ingredients)},
        lambda partial: make(partial, numpy_generator(seed)),
    )


def take_part(folder: Path, name: str, parts: Sequence[Path]) -> None:
    """Put what the last of `parts` holds under `name` into a state's folder, and all their notes.

    Files are hard links where that is possible: a state is whole by itself, whatever becomes of
    the parts. Those before the last are what it was made from.
    """

    def link(source: Any, target: Any) -> None:
        Path(target).unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    shutil.copytree(parts[-1] / name, folder / name, copy_function=link, dirs_exist_ok=True)
    notes = [Journal(part).path for part in parts]
    Journal(folder).path.write_text("".join(path.read_text() for path in notes))


def preparation_facts(folder: Path) -> dict[str, float]:
    """What a state's journal says, flat: seconds in all and of each phase, numbers that were found.

    Parts that were shared count with what they took when they were made.
    """
    journal = Journal(folder)
    phases = journal.phases()
    found = {k: v for k, v in journal.findings().items() if isinstance(v, int | float)}
    return {
        "prepare_seconds": sum(phases.values()),
        **{f"{PHASE}{name}": seconds for name, seconds in phases.items()},
        **{f"{FOUND}{name}": float(value) for name, value in found.items()},
    }


def _made_once(folder: Path, described: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
    """Fill `FOLDER.partial`, where a killed try is found again, and rename it.

    What is damaged is made again: a state as a whole, of a killed try the files that cannot be
    read.
    """
    if _is_described(folder) and not damage(folder) and folder.is_dir():
        return folder  # without the lock: workers look at a large state side by side
    with kernel_lock(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir() and (why := damage(folder)):
            warnings.warn(f"prepared {folder}: {why}: making it again", stacklevel=2)
            _remove(folder)
        if not folder.is_dir():
            partial = folder.with_name(f"{folder.name}{PARTIAL}")
            partial.mkdir(parents=True, exist_ok=True)
            for path in unreadable(partial):
                warnings.warn(f"{path} cannot be read: going on without it", stacklevel=2)
                path.unlink()
            _describe(partial, described)
            make(partial)
            seal(partial)
            partial.rename(folder)
        elif not _is_described(folder):
            _describe(folder, described)
    return folder


def _describe(folder: Path, described: Mapping[str, Any]) -> None:
    (folder / DESCRIPTION).write_text(json.dumps(described, indent=1))


def _is_described(folder: Path) -> bool:
    try:
        return isinstance(json.loads((folder / DESCRIPTION).read_bytes()), dict)
    except (OSError, ValueError):
        return False


def _remove(folder: Path) -> None:
    """Remove a state; a kill in the middle of it leaves nothing that looks like one."""
    damaged = folder.with_name(f".{folder.name}{DAMAGED}")
    shutil.rmtree(damaged, ignore_errors=True)
    folder.rename(damaged)
    shutil.rmtree(damaged, ignore_errors=True)
