"""`prepare`: fill an assets directory for a machine without network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import flags
from benchmark.core.library import Library
from benchmark.prepare import prepare as fill


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("prepare", help=__doc__)(prepare)


def prepare(
    suite: flags.Suite,
    to: Annotated[Path, typer.Option("--to", help="Directory to fill.")],
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Copy a suite's datasets and models, with a manifest of rows and sha256 sums."""
    library = Library(flags.library_config(store, assets, offline, tasks))
    missing = fill(library, library.catalogue.suite(suite), to, print)
    for what, why in missing:
        print(f"not available: {what}: {why}")
    print(f"use it with: python -m benchmark run --suite {suite} --assets {to} --offline")
    raise typer.Exit(3 if missing else 0)
