"""Names for the shell's completion: suites, tasks, methods, learners and protocols.

Installed by `text-distillation-benchmark --install-completion`. Whatever goes wrong, such as a
broken `--tasks` file, completes nothing: the command itself will say what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import typer

from benchmark.core.errors import BenchmarkError

Complete = Callable[[typer.Context, str], list[str]]


def one_of(names: Callable[[typer.Context], Iterable[str]]) -> Complete:
    """Complete one name."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        try:
            return [name for name in names(context) if name.startswith(incomplete)]
        except BenchmarkError:
            return []

    return complete


def list_of(names: Callable[[typer.Context], Iterable[str]]) -> Complete:
    """Complete the last name of a comma-separated list, with names that are not in it yet."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        given = before.split(",")
        found = one_of(names)(context, last)
        return [f"{before}{comma}{name}" for name in found if name not in given]

    return complete


def suites(context: typer.Context) -> Iterable[str]:
    """Names of the catalogue's suites, those of `--tasks` among them."""
    return _catalogue(context).suites


def protocols(context: typer.Context) -> Iterable[str]:
    """Names of the protocols."""
    return _catalogue(context).protocols


def tasks(context: typer.Context) -> Iterable[str]:
    """Names of the suite's tasks, or of all."""
    catalogue = _catalogue(context)
    suite = catalogue.suites.get(context.params.get("suite") or "")
    return catalogue.tasks if suite is None else suite.tasks


def methods(context: typer.Context) -> Iterable[str]:
    """Names of the methods."""
    from benchmark.core.method import METHODS

    return METHODS.names()


def learners(context: typer.Context) -> Iterable[str]:
    """Names of the learners, those of the catalogue among them."""
    from benchmark.core.learner import LEARNERS

    return sorted({*LEARNERS.names(), *_catalogue(context).learners})


def _catalogue(context: typer.Context):
    from benchmark.core.catalogue import Catalogue

    return Catalogue.load(context.params.get("tasks") or ())
