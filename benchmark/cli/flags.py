"""Flags that verbs share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli.completion import (
    learners,
    list_of,
    methods,
    one_of,
    protocols,
    suites,
    tasks,
)
from benchmark.core.errors import InputError
from benchmark.core.library import LibraryConfig

Store = Annotated[Path, typer.Option("--store", help="Directory of results.")]
Assets = Annotated[
    Path | None,
    typer.Option("--assets", envvar="BENCHMARK_ASSETS", help="Directory of datasets and models."),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]
Tasks = Annotated[
    list[Path] | None, typer.Option("--tasks", help="TOML file of further tasks and suites.")
]
Suite = Annotated[
    str, typer.Option("--suite", help="Name of the suite.", autocompletion=one_of(suites))
]
Methods = Annotated[
    str | None,
    typer.Option("--methods", help="Methods, comma-separated.", autocompletion=list_of(methods)),
]
Learners = Annotated[
    str | None,
    typer.Option("--learners", help="Learners, comma-separated.", autocompletion=list_of(learners)),
]
TasksOnly = Annotated[
    str | None,
    typer.Option("--tasks-only", help="Tasks of the suite to take.", autocompletion=list_of(tasks)),
]
Dpc = Annotated[str | None, typer.Option("--dpc", help="Examples per class, as 5,10,20.")]
Ratio = Annotated[str | None, typer.Option("--ratio", help="Shares of the rows, as 0.001,0.01.")]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="standard (20 sets x 5 seeds) or quick (3 x 1).",
        autocompletion=one_of(protocols),
    ),
]
Sets = Annotated[int | None, typer.Option("--sets", help="Distilled sets per cell.")]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Training seeds per set.")]
Deterministic = Annotated[
    str | None,
    typer.Option("--deterministic", help="Deterministic methods: resample (pools) or once."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="method.param=value, repeatable.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress on stderr; notes and errors stay.")
]
Config = Annotated[Path | None, typer.Option("--config", help="TOML file of these flags.")]
DEFAULT_STORE = Path("benchmark-results")


def library_config(
    store: Path,
    assets: Path | None,
    offline: bool,
    tasks: list[Path] | None,
    *,
    look: bool = False,
) -> LibraryConfig:
    """Gather the flags that every verb has. `ASSETS/tasks.toml` is read only if it is named.

    With `look` nothing is fetched from the hub.
    """
    return LibraryConfig(store, assets, offline, tuple(tasks or ()), look)


def split(text: str | None, flag: str) -> tuple[str, ...] | None:
    """Read a comma-separated list of names; None stays None.

    Raises `InputError` for an empty or repeated name.
    """
    if text is None:
        return None
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise InputError(f"{flag} {text!r}: write names with a comma between them")
    if len(set(names)) < len(names):
        raise InputError(f"{flag} {text!r}: a name stands there twice")
    return names


def numbers(text: str | None, flag: str, kind: type) -> tuple | None:
    """Read a comma-separated list of numbers; None stays None."""
    names = split(text, flag)
    if names is None:
        return None
    try:
        return tuple(kind(name) for name in names)
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise InputError(f"{flag} {text!r}: {what} with a comma between them are needed") from None
