"""TOML files that become dataclasses; every mistake is reported with file, line and key."""

from __future__ import annotations

import dataclasses
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.parameters import convert

T = TypeVar("T")


@dataclass(frozen=True)
class TomlFile:
    """A TOML text that can say on which line a key stands."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path) -> TomlFile:
        """Read a file; raises `InputError` if it cannot be read as UTF-8 text."""
        try:
            return cls(str(path), path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error

    @cached_property
    def content(self) -> dict[str, Any]:
        """The parsed text."""
        try:
            return tomllib.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self.name}: not valid TOML: {error}") from error

    def line_of(self, table: str, key: str | None = None) -> int:
        """Line of a table's header, or of a key below it (the header's if it is not found).

        `table` may end in `#n` for the n-th of tables that share a header.
        """
        table, _, nth = table.partition("#")
        remaining = int(nth or 1)
        pattern = r"\s*\[+\s*" + r"\s*\.\s*".join(
            rf"[\"']?{re.escape(part)}[\"']?" for part in table.split(".", 1)
        )
        header = 0
        for number, line in enumerate(self.text.splitlines(), start=1):
            if not header and re.match(pattern + r"\s*[\].]", line):
                remaining -= 1
                header = number if remaining == 0 else 0
            elif header and not nth and re.match(pattern + r"\s*[\].]", line):
                continue
            elif header and re.match(r"\s*\[", line):
                break
            elif header and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return number
        return header or self._line_of_word(table.rpartition(".")[2]) or 1

    def _line_of_word(self, word: str) -> int:
        """First line that starts with a dotted or inline form of a key, else 0."""
        pattern = rf"\s*(?:[\w\"'-]+\s*\.\s*)?[\"']?{re.escape(word)}[\"']?\s*[=.]"
        lines = enumerate(self.text.splitlines(), start=1)
        return next((number for number, line in lines if re.match(pattern, line)), 0)

    def error(self, message: str, table: str, key: str | None = None) -> InputError:
        """Make an error that names file and line."""
        return InputError(f"{self.name}, line {self.line_of(table, key)}: {message}")

    def build(self, cls: type[T], where: str, table: Mapping[str, Any]) -> T:
        """Make a dataclass from a table, checking names and types of its keys."""
        hints = typing.get_type_hints(cls)
        fields = {item.name: item for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in fields:
                known = [name for name in fields if name != "name"]
                raise self.error(
                    f"[{where}]: unknown key {key!r}.{did_you_mean(key, known)}", where, key
                )
            values[key] = self._value(hints[key], value, where, key)
        for name, item in fields.items():
            required = (
                item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
            )
            if required and name not in values:
                raise self.error(f"[{where}]: the key {name!r} is missing", where)
        try:
            return cls(**values)
        except InputError as error:  # "KEY: what is wrong with it"
            key = str(error).partition(":")[0]
            raise self.error(f"[{where}]: {error}", where, key) from None

    def _value(self, hint: Any, value: Any, where: str, key: str) -> Any:
        nested = _nested_dataclass(hint)
        if nested and typing.get_origin(hint) is tuple:
            if not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
                raise self.error(f"[{where}]: write {key} as [[{where}.{key}]]", where, key)
            numbered = enumerate(value, start=1)
            return tuple(self.build(nested, f"{where}.{key}#{i}", item) for i, item in numbered)
        if nested:
            if not isinstance(value, dict):
                raise self.error(f"[{where}]: {key} must be a table", where, key)
            return self.build(nested, where, value)
        try:
            if "dict" in str(hint) or "Mapping" in str(hint):
                return _plain_table(value, hint, key)
            if "tuple" in str(hint) and not isinstance(value, list):
                raise InputError(f"{key}: {value!r} is no list")
            if hint in (str, str | None) and not isinstance(value, str):
                raise InputError(f"{key}: {value!r} is no text")
            return convert(value, hint, key)
        except InputError as error:
            raise self.error(f"[{where}]: {error}", where, key) from None


def _nested_dataclass(hint: Any) -> type | None:
    """The dataclass that `X | None` or `tuple[X, ...]` speaks of."""
    return next((arg for arg in typing.get_args(hint) if dataclasses.is_dataclass(arg)), None)


def _plain_table(value: Any, hint: Any, key: str) -> dict[str, Any]:
    """Check a table of plain values, all of the annotated type."""
    if not isinstance(value, dict):
        raise InputError(f"{key}: {value!r} is no table")
    item = typing.get_args(hint)[1]
    return {name: convert(entry, item, f"{key}.{name}") for name, entry in value.items()}
