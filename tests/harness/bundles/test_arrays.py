"""Predictions are read from files that were spoiled in any way, or made to burst the memory."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.bundles.arrays import read_predictions, save_predictions

KEYS = {"a" * 40, "b" * 40}
LENGTH = 200


@pytest.fixture
def path(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {key: rng.integers(0, 5, LENGTH).astype(np.uint8) for key in KEYS}
    save_predictions(arrays, tmp_path / "x.npz")
    return tmp_path / "x.npz"


def read(path: Path) -> dict[str, np.ndarray]:
    return dict(read_predictions(path, LENGTH, KEYS))


def test_what_was_written_is_read(path) -> None:
    with np.load(path) as arrays:
        expected = {key: arrays[key] for key in arrays.files}
    found = read(path)
    assert found.keys() == KEYS
    assert all(np.array_equal(found[key], expected[key]) for key in KEYS)


def test_wider_numbers_and_plain_storing_are_read(tmp_path) -> None:
    np.savez(tmp_path / "x.npz", **dict.fromkeys(KEYS, np.arange(LENGTH, dtype=np.uint16)))
    assert read(tmp_path / "x.npz")["a" * 40].tolist() == list(range(LENGTH))


@pytest.mark.parametrize("place", range(30, 400, 11))
def test_one_other_byte_is_a_message_or_nothing(path, place) -> None:
    body, before = bytearray(path.read_bytes()), read(path)
    body[place % len(body)] ^= 0x10
    path.write_bytes(body)
    try:
        found = read(path)
    except ValueError:
        return
    assert all(np.array_equal(found[key], before[key]) for key in KEYS)


def marked(offsets: tuple[int, int], value: int) -> Callable[[Path], None]:
    """Set a byte of every local and central header of a ZIP file."""

    def spoil(path: Path) -> None:
        body = bytearray(path.read_bytes())
        for sign, offset in zip((b"PK\3\4", b"PK\1\2"), offsets, strict=True):
            at = -1
            while (at := body.find(sign, at + 1)) >= 0:
                body[at + offset] = value
        path.write_bytes(body)

    return spoil


def with_header(shape: str, kind: str = "|u1", content: bytes = b"\0" * LENGTH, minor: int = 0):
    head = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (63 - (len(head) + 10) % 64) + "\n"
    body = b"\x93NUMPY" + bytes([1, minor]) + struct.pack("<H", len(head)) + head.encode() + content

    def spoil(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for key in KEYS:
                archive.writestr(f"{key}.npy", body)

    return spoil


def corrupt(path: Path) -> None:
    body = bytearray(path.read_bytes())
    start = body.find(b"PK\3\4") + 30 + 44
    body[start : start + 8] = b"\xff" * 8
    path.write_bytes(body)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def padded(path: Path) -> None:
    path.write_bytes(b"\0" * 10**6 + path.read_bytes())


def pickled(path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}] * LENGTH, dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{'a' * 40}.npy", buffer.getvalue())


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (corrupt, "Error -3 while decompressing"),
        (marked((6, 8), 1), "an array is encrypted"),
        (marked((8, 10), 99), "compressed in another way than deflate"),
        (marked((8, 10), 14), "compressed in another way than deflate"),
        (with_header("(1000000000000000,)"), "has not one class a test row, 200"),
        (with_header("(10**15,)"), "malformed node"),
        (with_header("(199,)", content=b"\0" * 199), "has not one class a test row, 200"),
        (with_header("(200,)", content=b"\0" * 100), "has not one class a test row, 200"),
        (with_header("(200,)", "<f8", b"\0" * 1600), "not a row of class indices"),
        (with_header("(200,)", "|i1"), "not a row of class indices"),
        (with_header("(200, 1)"), "not a row of class indices"),
        (with_header("()"), "not a row of class indices"),
        (with_header("(200,)", minor=9), "an array of format"),
        (with_header("(200,)", content=b"\0" * 10**7), "larger than one number a test row"),
        (cut, "not a zip file"),
        (padded, "the file is larger than such predictions can be"),
        (pickled, "not a row of class indices"),
        (lambda path: path.unlink(), "No such file"),
    ],
)
def test_a_spoiled_file_is_one_message(path, spoil, said) -> None:
    spoil(path)
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        read(path)
