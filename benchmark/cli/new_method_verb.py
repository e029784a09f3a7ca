"""`new-method`: write an adapter and its test from a template."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import flags
from benchmark.new_method import entry_point, plan_method


class Kind(StrEnum):
    """What the method does: pick real rows, or write new ones."""

    SELECTOR = "selector"
    GENERATOR = "generator"


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("new-method", help=__doc__)(new_method)


def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method, as length-matched.")],
    kind: Annotated[Kind, typer.Option(help="Picks real rows, or writes new ones.")] = (
        Kind.SELECTOR
    ),
    to: Annotated[
        Path | None,
        typer.Option(help="Folder of a package of your own; by default the repository's methods/."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written.")] = (
        False
    ),
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Write an adapter that passes its conformance suite, and the test that runs it."""
    new = plan_method(name, kind.value, to)
    if not dry_run:
        new.write()
    for path in new.files:
        print(f"{'would write' if dry_run else 'wrote'} {path}")
    adapter, test = list(new.files)[:2]
    print(f"Replace what {adapter} does by your method; then")
    if new.package is not None:
        manifest = new.package / "pyproject.toml"
        if manifest not in new.files:
            print(f'  {manifest}: add below [project.entry-points."text_distillation.methods"]')
            print(f"    {entry_point(new)}")
            print(f"  {manifest}: add to the list py-modules below [tool.setuptools]")
            print(f'    "{new.module}"')
        print(f"  pip install --no-deps -e {shlex.quote(str(new.package))}")
    print(f"  python -m pytest {shlex.quote(str(test))}")
    print(f"  python -m benchmark check {name}")
    print(f"  python -m benchmark run --suite demo --methods {name},k-centers --learners tfidf-lr")
