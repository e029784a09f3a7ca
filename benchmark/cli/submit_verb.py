"""`submit`: make a bundle of rows that others can check, check one, or merge one."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmark.bundles import Report, validate, write_bundle
from benchmark.bundles.layout import SUMS
from benchmark.bundles.tables import check_completeness, read_head, read_rows
from benchmark.bundles.validate import least_of
from benchmark.cli import flags
from benchmark.core.errors import InputError, UnavailableError
from benchmark.core.keys import sha256_file
from benchmark.core.library import Library
from benchmark.store import Store
from leaderboards.submissions import place_submission
from leaderboards.table import one_line


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("submit", help=__doc__)(submit)


def submit(
    suite: Annotated[str | None, typer.Option("--suite", help="Suite to bundle.")] = None,
    out: Annotated[Path | None, typer.Option(help="New directory for the bundle.")] = None,
    check: Annotated[
        Path | None, typer.Option("--validate", help="Bundle to check; nothing of it is executed.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(help="The repository's leaderboards/: merge the bundle, once it is valid."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Merge over other results of the same cells.")
    ] = False,
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Write with --suite and --out; check with --validate; --to merges what either one gives."""
    if (suite is None) == (check is None):
        raise InputError("give --suite NAME to make a bundle, or --validate DIR to check one")
    if suite is not None and (out is None) == (to is None):
        raise InputError("--suite needs --out DIR to write to, or --to leaderboards/ to merge into")
    if check is not None and out is not None:
        raise InputError("--out goes with --suite, not with --validate")
    if replace and to is None:
        raise InputError("--replace says how to merge, so it goes with --to")
    if to is not None and not (to / "results").is_dir():
        raise InputError(f"--to {to}: no leaderboards directory, which has results/ in it")
    library = Library(flags.library_config(store, assets, offline, tasks))
    if check is not None:
        _judge(check, library, to, replace)
    elif out is not None:
        _write(store, suite, out)
        _tell_what_is_small(out, library)
        print(f"check it with: python -m benchmark submit --validate {shlex.quote(str(out))}")
    else:
        with tempfile.TemporaryDirectory(prefix="bundle-") as folder:
            made = Path(folder) / "bundle"
            _write(store, suite, made)
            _judge(made, library, to, replace)


def _write(store: Path, suite: str | None, out: Path) -> None:
    opened = Store(store, writes=False)
    n_cells, left_out = write_bundle(opened, suite or "", out)
    opened.close()
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"bundled {n_cells} complete cells of {suite} ({size / 2**20:.1f} MB)")
    if left_out:
        named = "; ".join(left_out[:3]) + ("; ..." if len(left_out) > 3 else "")
        print(f"left out as not complete: {len(left_out)} cells ({one_line(named)})")


def _tell_what_is_small(bundle: Path, library: Library) -> None:
    """Say now what would make the bundle invalid: cells planned smaller than the protocol."""
    head = read_head(bundle)
    small = check_completeness(read_rows(bundle, head), least_of(library, head["suite"]))
    if small:
        print(f"note: not valid yet, {len(small)} cells: {one_line(small[0])}")


def _judge(bundle: Path, library: Library, to: Path | None, replace: bool) -> None:
    """Validate and say what was found; merge if that is wanted and nothing is wrong or unknown."""
    report = validate(bundle, library, lambda words: print(one_line(words)))
    _tell(report)
    if not report.valid:
        print(f"not valid: {len(report.problems)} problems")
        raise typer.Exit(1)
    if report.unchecked:
        merged = ", and not merged" if to is not None else ""
        print(f"not checkable here: {len(report.unchecked)} tasks; nothing was found wrong{merged}")
        raise typer.Exit(UnavailableError.exit_code)
    print(f"valid: {report.n_cells} cells, {len(report.rows):,} rows of {report.suite}")
    _tell_what_is_proved(report)
    if to is not None:
        _merge(bundle, report, to, replace)


def _tell_what_is_proved(report: Report) -> None:
    if report.proven:
        print(f"predictions of {report.proven} cells are those that training again gives")
    for learner, cells in sorted(report.unproven.items()):
        print(
            f"predictions of {cells} cells of {one_line(learner)} are the submitter's word: they "
            "were not trained again"
        )


def _tell(report: Report) -> None:
    for problem in report.problems:
        print(f"problem: {one_line(problem)}")
    for task, why in report.unchecked.items():
        print(f"not checkable here: task {one_line(task)}: {one_line(why)}")
    for note in report.notes:
        print(f"note: {one_line(note)}")
    if report.contaminated:
        print(
            "Sets with texts of the test split that stand in the training pool as well "
            "(allowed; score of the cell, and without those test rows):"
        )
    for one in report.contaminated:
        print(
            f"  {one_line(one.cell.label)}: {one.sets} sets, {one.test_rows} test rows, "
            f"{one.score:.4f}, without {one.score_without:.4f}"
        )


def _merge(bundle: Path, report: Report, to: Path, replace: bool) -> None:
    """Merge the rows, render the pages, keep the bundle beside them, and say what to commit."""
    name = f"{report.suite}-{sha256_file(bundle / SUMS)[:8]}"
    merged = place_submission(to, report.suite, report.rows, bundle, name, replace=replace)
    for path in merged.paths:
        print(f"wrote {path}")
    print(
        f"{merged.added:,} rows added, {merged.replaced:,} replaced, {merged.unchanged:,} were "
        "there already"
    )
    results, kept = to / "results" / f"{report.suite}.parquet", merged.paths[-1]
    branch = f"submission/{name}"
    paths = " ".join(shlex.quote(str(path)) for path in (results, to / "published", kept))
    print("Open a pull request with:")
    print(f"  git switch -c {branch}")
    print(f"  git add {paths}")
    print(f"  git commit -m {shlex.quote(f'Submit {report.n_cells} cells of {report.suite}')}")
    print(f"  git push -u origin {branch}")
