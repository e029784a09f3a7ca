"""`score`: judge distilled sets that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from benchmark.background import BackgroundMirror
from benchmark.bundles.row_checks import NAME, NAME_RULE
from benchmark.cli import flags
from benchmark.cli.console import output
from benchmark.cli.progress import ProgressReporter
from benchmark.cli.report import mlflow_sentence, tokens_sentence
from benchmark.core.errors import InputError
from benchmark.core.library import Library
from benchmark.core.score_files import read_score_directory
from benchmark.executors import Limits, choose_local
from benchmark.frame import rows_frame
from benchmark.given_sets import oddities
from benchmark.runner import Runner
from benchmark.store import Store
from benchmark.submitted import SUITE, submitted_plan
from evaluators.statistics.sets import CellSummary
from leaderboards import build_leaderboard

DEFAULT_LEARNERS = "tfidf-lr,tfidf-nb,tfidf-svm"


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("score", help=__doc__)(score)


def score(
    path: Annotated[
        Path,
        typer.Argument(
            help="Directory with one .jsonl, .json or .parquet a set, whose rows have the task's "
            "text columns (`list tasks --long`) and `label`: a class name, an index, or a list of "
            "probabilities."
        ),
    ],
    task: Annotated[str, typer.Option(help="Task that the sets were made for.")],
    name: Annotated[str, typer.Option(help="Name of the method that made them.")],
    learners: Annotated[str, typer.Option(help="Learners, comma-separated.")] = DEFAULT_LEARNERS,
    seeds: Annotated[int, typer.Option(min=1, help="Training seeds per set.")] = 5,
    quiet: flags.Quiet = False,
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Train learners on each set and print the mean scores; the rows are marked as submitted."""
    names = flags.split(learners, "--learners") or ()
    if not name.strip() or len(name) > 100 or any(not c.isprintable() for c in name):
        raise InputError(f"--name {name!r}: a printable name of up to 100 characters is needed")
    config = flags.library_config(store, assets, offline, tasks)
    with ProgressReporter(quiet=quiet) as reporter:
        library = Library(config, reporter.inner)
        sets = read_score_directory(path, library.catalogue.task(task))
        plan, made = submitted_plan(library, task, name.strip(), sets, names, seeds)
        opened = Store(store)
        executor = choose_local(config, library, 1, Limits(), reporter.inner)
        with opened.writing(lambda: reporter.note(f"another run holds {store}: waiting")):
            for record, distilled in made:
                distilled.save(opened.set_folder(record.set_key))
                opened.put_set(record)
            with BackgroundMirror(store):
                summary = Runner(opened, executor, reporter).run(plan)
    board = build_leaderboard(rows_frame(opened, SUITE), SUITE)
    wanted = {cell.id for cell in plan.cells}
    table = Table("learner", "metric", "mean", "std", "95% interval", "sets", "runs", "status")
    for cell in board.cells:
        found = cell.summary
        if cell.id not in wanted or found is None:
            continue
        table.add_row(
            cell.id.learner,
            cell.metric,
            f"{found.mean:.4f}",
            f"{found.std:.4f}",
            _interval(cell.metric, found),
            str(found.n_sets),
            str(found.n_runs),
            cell.status,
        )
    output().print(f"{name} on {task}: {len(sets)} sets", markup=False, highlight=False)
    if table.row_count:
        output().print(table)
    for oddity in oddities(sets):
        print(f"note: {oddity}.")
    if not NAME.fullmatch(name.strip()):
        print(f"note: {name!r} cannot be published: {NAME_RULE}.")
    for cell_id, why in {**summary.failed, **summary.unavailable}.items():
        print(f"{cell_id.learner}: {why}")
    if summary.tokens > 0:
        print(tokens_sentence(summary))
    print(f"the rows are in suite {SUITE!r}: leaderboard --suite {SUITE} --store {store}")
    print(mlflow_sentence(store))
    opened.close()
    raise typer.Exit(summary.exit_code(allow_partial=False))


def _interval(metric: str, found: CellSummary) -> str:
    """The bounds, no further than the metric goes: an interval on few sets is wide."""
    if found.n_sets < 2:
        return "one set: none"
    least = -1.0 if metric == "matthews" else 0.0
    return f"{max(found.ci_low, least):.4f} to {min(found.ci_high, 1.0):.4f}"
