"""The files of a bundle are those that its checksums list, bit by bit."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from forger import Bundle, flip

from benchmark.bundles import layout
from benchmark.bundles.layout import SUMS


@pytest.mark.parametrize("place", [0.0, 0.37])
@pytest.mark.parametrize(
    "pattern",
    [
        "bundle.json", "rows.parquet", "statistics.csv", "environments.json", "sets/*/set.json",
        "sets/*/rows.jsonl", "predictions/*.npz", SUMS,
    ],
)  # fmt: skip
def test_one_flipped_bit_in_any_file_is_found(bundle, judge, pattern, place) -> None:
    path = bundle.one(pattern)
    flip(path, place, bit=int(place * 5))
    code, problems, _ = judge(bundle)
    assert code == 1
    name = path.relative_to(bundle.folder).as_posix()
    assert pattern == SUMS or problems == [f"{name}: its checksum is not the one in {SUMS}"]


def lost(bundle: Bundle) -> None:
    bundle.one("sets/*/rows.jsonl").unlink()


def unlisted(bundle: Bundle) -> None:
    (bundle.folder / "setup.py").write_text("raise SystemExit")


def misplaced(bundle: Bundle) -> None:
    unlisted(bundle)
    bundle.sign()


def line_of(text: str) -> Callable[[Bundle], None]:
    def add(bundle: Bundle) -> None:
        with (bundle.folder / SUMS).open("a") as handle:
            handle.write(f"{text}\n")

    return add


def twice(bundle: Bundle) -> None:
    line_of((bundle.folder / SUMS).read_text().splitlines()[0])(bundle)


def link(bundle: Bundle) -> None:
    path = bundle.one("sets/*/rows.jsonl")
    path.unlink()
    path.symlink_to("/etc/hostname")


def folder_link(bundle: Bundle) -> None:
    os.rename(bundle.folder / "sets", bundle.folder.parent / "elsewhere")
    (bundle.folder / "sets").symlink_to(bundle.folder.parent / "elsewhere")


def pipe(bundle: Bundle) -> None:
    os.mkfifo(bundle.folder / "predictions" / ("0" * 16 + ".npz"))


def huge(bundle: Bundle) -> None:
    with bundle.one("predictions/*.npz").open("r+b") as handle:
        handle.truncate(layout.MAX_FILE_BYTES + 1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lost, "listed in SHA256SUMS, but not there"),
        (unlisted, "setup.py: not listed in SHA256SUMS"),
        (misplaced, "setup.py: such a file has no place in a bundle"),
        (line_of("garbage"), "not a checksum, two spaces and a path"),
        (line_of("0" * 64 + "  ../../x"), "the path leaves the directory"),
        (line_of("0" * 64 + "  /etc/passwd"), "the path leaves the directory"),
        (line_of("0" * 64 + "  sets/.."), "the path leaves the directory"),
        (line_of("0" * 64 + "  C:x"), "the path leaves the directory"),
        (line_of("0" * 64 + "  evil/x"), "lists a path that has no place"),
        (twice, "a second time"),
        (link, "rows.jsonl: a link; a bundle holds plain files only"),
        (folder_link, "sets: a link; a bundle holds plain files only"),
        (pipe, "no plain file; a bundle holds plain files only"),
        (huge, "larger than 256 MB"),
    ],
)
def test_the_files_are_those_that_are_listed(bundle, judge, spoil, said) -> None:
    spoil(bundle)
    code, problems, out = judge(bundle)
    assert code == 1
    assert said in " ".join(problems), out


def test_no_directory_and_no_checksums_are_bad_input(bundle, judge) -> None:
    (bundle.folder / SUMS).unlink()
    assert judge(bundle)[0] == 2
    bundle.folder = bundle.folder / "nowhere"
    code, _, out = judge(bundle)
    assert code == 2
    assert "there is no such directory" in out
