"""What a bundle's directory may hold, and whether it holds what its checksums say.

    bundle.json          format, suite, version of the benchmark
    rows.parquet         complete cells, in the columns of `leaderboards.rows`
    statistics.csv       the leaderboard's CSV of these rows
    environments.json    the distinct environments of the runs
    sets/HASH/           each distilled set under its content hash, as a store keeps it
    predictions/NAME.npz predicted classes by run key, one file a cell
    SHA256SUMS           of every other file, `sum  path` a line; the only file that it leaves out

The set of all training rows is not in it: whoever checks has the data, and their licence is not
the project's.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from benchmark.core.errors import InputError
from benchmark.core.keys import sha256_file

FORMAT = 1
HEAD, ROWS, STATISTICS, ENVIRONMENTS, SUMS = (
    "bundle.json", "rows.parquet", "statistics.csv", "environments.json", "SHA256SUMS",
)  # fmt: skip
PLACES = re.compile(
    rf"{re.escape(HEAD)}|{re.escape(ROWS)}|{re.escape(STATISTICS)}|{re.escape(ENVIRONMENTS)}"
    r"|predictions/[0-9a-f]{16}\.npz|sets/[0-9a-f]{40}/(set\.json|rows\.jsonl|arrays\.safetensors)"
)
LINE = re.compile(r"([0-9a-f]{64})  ([^\s\\][^\n\\]*)")

MAX_FILES = 200_000
MAX_FILE_BYTES = 2**28
MAX_BYTES = 2**32
SHOWN = 20
"""Problems of one kind that are named before they are only counted."""


def write_sums(folder: Path) -> None:
    """Write the checksums of all other files; they are sorted, so equal bundles are equal."""
    names = sorted(name for name, _ in _walk(folder) if name != SUMS)
    lines = [f"{sha256_file(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_bytes("".join(lines).encode())


def check_files(folder: Path) -> list[str]:
    """Return what is wrong with the files of a bundle; nothing of them is interpreted.

    Links and special files are never followed or opened, and nothing outside the directory is.

    Raises:
        InputError: there is no such directory, or it has no checksums.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such directory")
    if not (folder / SUMS).is_file() or (folder / SUMS).is_symlink():
        raise InputError(f"{folder}: there is no {SUMS}, so this is no bundle")
    sums, problems = _read_sums(folder / SUMS)
    found: dict[str, os.stat_result] = {}
    for number, (name, status) in enumerate(_walk(folder)):
        if number > MAX_FILES:
            return [f"more than {MAX_FILES:,} files: this is too much for a bundle"]
        if not stat.S_ISREG(status.st_mode):
            kind = "a link" if stat.S_ISLNK(status.st_mode) else "no plain file"
            problems.append(f"{name}: {kind}; a bundle holds plain files only")
        elif name != SUMS:
            found[name] = status
    if total := _too_large(found):
        return [*problems, *total]
    for name in sorted(found.keys() - sums.keys()):
        problems.append(f"{name}: not listed in {SUMS}")
    for name in sorted(sums.keys() - found.keys()):
        if not PLACES.fullmatch(name):
            problems.append(f"{name}: {SUMS} lists a path that has no place in a bundle")
        elif not any(problem.startswith(f"{name}: ") for problem in problems):
            problems.append(f"{name}: listed in {SUMS}, but not there")
    for name in sorted(sums.keys() & found.keys()):
        if not PLACES.fullmatch(name):
            problems.append(f"{name}: such a file has no place in a bundle")
        elif sha256_file(folder / name) != sums[name]:
            problems.append(f"{name}: its checksum is not the one in {SUMS}")
    needed = [name for name in (HEAD, ROWS, STATISTICS, ENVIRONMENTS) if name not in found]
    problems += [f"{name}: missing from the bundle" for name in needed if name not in sums]
    return problems


def few(problems: list[str], what: str) -> list[str]:
    """Return the first of many problems of one kind, and how many more there are."""
    left = len(problems) - SHOWN
    return problems if left <= 0 else [*problems[:SHOWN], f"... and {left:,} more {what}"]


def _read_sums(path: Path) -> tuple[dict[str, str], list[str]]:
    if path.stat().st_size > MAX_FILES * 200:
        raise InputError(f"{SUMS}: larger than any bundle's")
    text = path.read_bytes().decode("utf-8", "replace")
    sums: dict[str, str] = {}
    problems = [] if text.endswith("\n") else [f"{SUMS}: its last line has no end"]
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        match = LINE.fullmatch(line)
        if match is None:
            problems.append(f"{SUMS}, line {number}: not a checksum, two spaces and a path")
        elif _leaves(match[2]):
            problems.append(f"{SUMS}, line {number}: the path leaves the directory")
        elif match[2] in sums:
            problems.append(f"{SUMS}, line {number}: lists {match[2]} a second time")
        else:
            sums[match[2]] = match[1]
    return sums, problems


def _leaves(name: str) -> bool:
    return name.startswith(("/", "~")) or ":" in name or ".." in name.split("/")


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each file's path below the folder and its status, links as links."""
    stack = [""]
    while stack:
        below = stack.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                name = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    stack.append(f"{name}/")
                else:
                    yield name, entry.stat(follow_symlinks=False)


def _too_large(found: dict[str, os.stat_result]) -> list[str]:
    big = [name for name, status in found.items() if status.st_size > MAX_FILE_BYTES]
    problems = [f"{name}: larger than {MAX_FILE_BYTES // 2**20} MB" for name in sorted(big)]
    if sum(status.st_size for status in found.values()) > MAX_BYTES:
        problems.append(f"the files together are larger than {MAX_BYTES // 2**30} GB")
    return problems
