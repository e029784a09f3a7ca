"""`check`: run the conformance suite on one method."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli import flags
from benchmark.testing import run_method_checks


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("check", help=__doc__)(check)


def check(
    method: Annotated[str, typer.Argument(help="Name of the method.")],
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Print a report, in markdown, to paste into a pull request."""
    results = run_method_checks(method)
    print(
        f"### Conformance of `{method}`\n\n| check | result | seconds | reason |\n|---|---|---|---|"
    )
    for result in results:
        reason = result.reason.replace("|", "\\|").replace("\n", " ")
        print(f"| {result.title} | {result.status} | {result.seconds:.2f} | {reason} |")
    failed = sum(result.status == "failed" for result in results)
    print(f"\n{len(results) - failed} of {len(results)} checks did not fail.")
    raise typer.Exit(1 if failed else 0)
