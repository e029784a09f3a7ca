"""`check`: run the conformance suite on one method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from benchmark.cli import flags
from benchmark.cli.completion import methods, one_of
from benchmark.core.method import METHODS, Method
from benchmark.environment import describe_environment
from benchmark.testing import CheckResult, run_method_checks

STATES = ("passed", "failed", "skipped")
LONGEST_REASON = 300


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("check", help=__doc__)(check)


def check(
    method: Annotated[
        str, typer.Argument(help="Name of the method.", autocompletion=one_of(methods))
    ],
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Print a report, in markdown, to paste into a pull request; exit code 1 if a check failed."""
    built = METHODS.build(method, METHODS.cls(method).toy)
    results = run_method_checks(built)
    failed = any(result.status == "failed" for result in results)
    print(report(built, METHODS.origin(method), results))
    raise typer.Exit(1 if failed else 0)


def report(method: Method, origin: str, results: Sequence[CheckResult]) -> str:
    """Write what was checked, with what, and how each check went, as markdown."""
    environment = describe_environment()
    versions = {"python": environment["python"], **environment["versions"]}
    toy = set(type(method).toy)
    parameters = [
        f"`{name}={value}`{' (of its toy settings)' if name in toy else ''}"
        for name, value in method.params().items()
    ]
    tags = {
        "level": method.level,
        "budget": method.budget,
        "deterministic": method.deterministic,
        "learns once per task": method.needs_preparation,
        "external language model": method.uses_external_lm,
    }
    counts = Counter(result.status for result in results)
    code = 1 if counts["failed"] else 0
    lines = [
        f"### Conformance of `{method.name}`",
        "",
        f"{', '.join(f'{counts[status]} {status}' for status in STATES)} of {len(results)} checks "
        f"in {sum(result.seconds for result in results):.1f} s (exit code {code}).",
        "",
        f"* adapter: `{origin}`, version {method.version}",
        f"* parameters: {', '.join(parameters) or 'none'}",
        f"* tags: {', '.join(f'{name} {_word(value)}' for name, value in tags.items())}",
        f"* with: {', '.join(f'{name} {version}' for name, version in versions.items())}; "
        f"{environment['system']}, {environment['device']}",
        "",
        "| check | result | seconds | reason |",
        "|:---|:---|---:|:---|",
    ]
    for result in results:
        mark = f"**{result.status}**" if result.status == "failed" else result.status
        lines.append(
            f"| {_cell(result.title)} | {mark} | {result.seconds:.2f} | {_cell(result.reason)} |"
        )
    return "\n".join(lines)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _cell(text: str) -> str:
    """Text that cannot break the table: one line, no bars, and not without end."""
    line = " ".join(text.split())
    line = line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"
    return line.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
