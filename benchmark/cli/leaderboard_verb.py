"""`leaderboard`: render, publish or check a suite's tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmark.cli import flags
from benchmark.cli.progress import ProgressReporter
from benchmark.cli.report import print_leaderboard, write_text
from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.library import Library
from benchmark.frame import rows_frame
from benchmark.perplexities import read_sets, unread_sets
from benchmark.store import Store
from leaderboards import (
    FORMATS,
    build_leaderboard,
    check_published,
    merge,
    render,
    render_published,
)

PACKAGE = Path("leaderboards")


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("leaderboard", help=__doc__)(leaderboard)


def leaderboard(
    suite: flags.Suite,
    out: Annotated[Path | None, typer.Option(help="Directory to write to.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="md, csv, html or latex; md by default.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Method to compare with.")] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Merge the rows into leaderboards/ and re-render.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Re-render leaderboards/ from its rows; fail on drift.")
    ] = False,
    perplexity: Annotated[
        str | None,
        typer.Option(help="Causal language model to read the sets with, such as smollm2-135m."),
    ] = None,
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Render a suite's leaderboard from the store's rows; --check reads the published rows."""
    if publish and check:
        raise InputError("--publish and --check exclude each other")
    if perplexity is not None and check:
        raise InputError("--check reads published rows, in which --perplexity changes nothing")
    if format_ is not None and format_ not in FORMATS:
        raise InputError(f"--format {format_}: unknown.{did_you_mean(format_, list(FORMATS))}")
    if not suite.replace("-", "").replace("_", "").replace(".", "").isalnum() or ".." in suite:
        raise InputError(f"--suite {suite!r} is no name of a suite")
    results = PACKAGE / "results" / f"{suite}.parquet"
    published = PACKAGE / "published"
    if (publish or check) and not PACKAGE.is_dir():
        raise InputError(
            f"--{'publish' if publish else 'check'} works in the project's repository: there is no "
            f"{PACKAGE}/ here"
        )
    if check:
        if not results.is_file():
            raise InputError(f"{results}: suite {suite!r} has not been published")
        diff = check_published(results, published)
        if diff:
            print(diff)
            print(f"error: leaderboards/published differs from {results}")
            raise typer.Exit(1)
        print(f"{suite}: the published pages are what their rows give")
        return
    opened = Store(store, create=False, writes=perplexity is not None)
    frame = rows_frame(opened, suite)
    if frame.empty:
        known = [row[0] for row in opened.database.execute("SELECT DISTINCT suite FROM cells")]
        suites = list(Library(flags.library_config(store, assets, offline, tasks)).catalogue.suites)
        if suite not in suites:
            raise InputError(
                f"unknown suite {suite!r}.{did_you_mean(suite, sorted({*known, *suites}))}"
            )
        raise InputError(
            f"suite {suite!r} has no rows in {store}; `run --suite {suite}` makes them"
        )
    if perplexity is not None:
        library = Library(flags.library_config(store, assets, offline, tasks))
        _read(opened, suite, perplexity, library)
        frame = rows_frame(opened, suite)
    if publish:
        merge(results, frame)
        for path in render_published(results, published):
            print(f"wrote {path}")
    else:
        name = format_ or "md"
        board = build_leaderboard(frame, suite, reference=reference)
        suffix = {"latex": "tex"}.get(name, name)
        path = (out or opened.reports) / f"{suite}.{suffix}"
        print(f"wrote {write_text(path, render(board, name))}")
        if format_ is None:
            print_leaderboard(opened, suite, reference)
    opened.close()


def _read(store: Store, suite: str, model: str, library: Library) -> None:
    """Have a language model read the sets that it has not read."""
    records = unread_sets(store, suite, model)
    if not records:
        return
    with store.writing(), ProgressReporter() as reporter:
        stage = f"{suite}: perplexity under {model}"
        reporter.stage(stage, len(records))
        for _ in read_sets(store, records, model, library):
            reporter.advance(stage)
