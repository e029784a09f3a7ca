"""From flags, or a TOML file of flags, to what is planned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.cli.flags import numbers, split
from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.threads import usable_cores
from benchmark.core.toml_file import TomlFile
from benchmark.executors import EXECUTORS
from benchmark.executors.ray_cluster import check_form
from benchmark.plan import Options, parse_settings

LISTS = ("methods", "learners", "tasks_only")
KNOWN = (*LISTS, "dpc", "ratio", "protocol", "sets", "seeds", "deterministic", "keep_logits", "set")


def gather(flags: Mapping[str, Any]) -> Options:
    """Make options from the flags of a verb; a flag outranks the same key of `--config`.

    Raises `InputError` naming the flag, or the file, line and key.
    """
    values: dict[str, Any] = {}
    if flags.get("config") is not None:
        values = _read(flags["config"])
    given = {**flags, "set": flags.get("set_") or None}
    for flag, other in (("dpc", "ratio"), ("ratio", "dpc")):
        if given.get(flag) is not None:  # two ways to say one thing: the file's one gives way
            values.pop(other, None)
    for name in KNOWN:
        if given.get(name) is not None and given[name] is not False:
            values[name] = given[name]
    settings = values.get("set") or []
    return Options(
        suite=flags["suite"],
        methods=_names(values, "methods"),
        learners=_names(values, "learners"),
        tasks_only=_names(values, "tasks_only"),
        dpc=_numbers(values, "dpc", int),
        ratio=_numbers(values, "ratio", float),
        protocol=values.get("protocol"),
        sets=values.get("sets"),
        seeds=values.get("seeds"),
        deterministic=values.get("deterministic") or "resample",
        settings=parse_settings(settings),
        keep_logits=bool(values.get("keep_logits")),
    )


def _names(values: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    value = values.get(name)
    text = ",".join(value) if isinstance(value, list) else value
    return split(text, f"--{name.replace('_', '-')}")


def _numbers(values: Mapping[str, Any], name: str, kind: type) -> tuple | None:
    value = values.get(name)
    text = ",".join(map(str, value)) if isinstance(value, list) else value
    return numbers(None if text is None else str(text), f"--{name}", kind)


def _read(path: Path) -> dict[str, Any]:
    """Read `--config`: the flags' names with `_` or `-`; lists as TOML lists or comma-separated.

    A table `[set]` holds `"method.param" = value`.
    """
    file = TomlFile.read(path)
    values: dict[str, Any] = {}
    for key, value in file.content.items():
        name = key.replace("-", "_")
        if name not in KNOWN:
            line = _line_of(file, key)
            hint = did_you_mean(name, list(KNOWN))
            raise InputError(f"{path}, line {line}: unknown key {key!r}.{hint}")
        wrong = (
            (name in LISTS and not _is_texts(value))
            or (name in ("sets", "seeds") and (not isinstance(value, int) or value is True))
            or (name in ("protocol", "deterministic") and not isinstance(value, str))
            or (name == "keep_logits" and not isinstance(value, bool))
            or (name in ("dpc", "ratio") and not isinstance(value, int | float | str | list))
            or (name == "set" and not isinstance(value, dict))
        )
        if wrong:
            raise InputError(f"{path}, line {_line_of(file, key)}: {key} = {value!r} is not usable")
        values[name] = value
    if isinstance(values.get("set"), dict):
        values["set"] = [f"{name}={value}" for name, value in _flat(values["set"]).items()]
    return values


def _is_texts(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    flat = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": item for inner, item in _flat(value).items()}
        else:
            flat[key] = value
    return flat


def _line_of(file: TomlFile, key: str) -> int:
    for number, line in enumerate(file.text.splitlines(), start=1):
        if line.split("=")[0].strip().strip("[]\"'") == key:
            return number
    return 1


def check_machine(
    executor: str,
    workers: int,
    timeout: float | None,
    memory: float | None,
    ray_address: str | None = None,
) -> None:
    """Check the flags that say what a run works with, connecting nowhere; raises `InputError`."""
    if executor not in EXECUTORS:
        raise InputError(f"unknown executor {executor!r}. Known: {', '.join(EXECUTORS)}")
    most = 4 * usable_cores()
    if not 1 <= workers <= most:
        raise InputError(f"--workers {workers}: 1 to {most} make sense here")
    for flag, value in (("--timeout", timeout), ("--memory", memory)):
        if value is not None and not value > 0:
            raise InputError(f"{flag} {value}: a number above 0 is needed")
    if executor == "ray" and ray_address is not None:
        check_form(ray_address)
