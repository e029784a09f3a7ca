"""`run`: carry out a suite's protocol and print its leaderboard."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from benchmark.background import BackgroundMirror
from benchmark.cli import flags
from benchmark.cli.options import check_machine, gather
from benchmark.cli.plan_report import print_plan, refuse_what_does_not_fit, to_look_at
from benchmark.cli.progress import ProgressReporter
from benchmark.cli.report import print_leaderboard, print_summary, write_reports
from benchmark.core.library import Library
from benchmark.executors import Limits, choose
from benchmark.executors.ray_cluster import check_way_in
from benchmark.plan import make_plan
from benchmark.runner import Runner
from benchmark.store import Store


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("run", help=__doc__)(run)


def run(
    suite: flags.Suite,
    methods: flags.Methods = None,
    learners: flags.Learners = None,
    tasks_only: flags.TasksOnly = None,
    dpc: flags.Dpc = None,
    ratio: flags.Ratio = None,
    protocol: flags.Protocol = None,
    sets: flags.Sets = None,
    seeds: flags.Seeds = None,
    deterministic: flags.Deterministic = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Exit 0 though something could not be had.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed sets and runs again.")
    ] = False,
    executor: Annotated[str, typer.Option(help="local or ray.")] = "local",
    workers: Annotated[int, typer.Option(help="Worker processes.")] = 1,
    ray_address: Annotated[
        str, typer.Option(help="auto (the cluster of this machine), HOST:PORT, or local.")
    ] = "auto",
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that one cell or set may take.")
    ] = None,
    memory: Annotated[float | None, typer.Option(help="GB that one worker may use.")] = None,
    keep_logits: Annotated[bool, typer.Option("--keep-logits", help="Keep logits too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and check only.")] = False,
    quiet: flags.Quiet = False,
    set_: flags.Settings = None,
    config: flags.Config = None,
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Run a suite and print its leaderboard."""
    given: dict[str, Any] = dict(locals())
    options = gather(given)
    check_machine(executor, workers, timeout, memory, ray_address)
    if executor == "ray" and not dry_run:
        check_way_in(ray_address)
    library_config = flags.library_config(store, assets, offline, tasks, look=dry_run)
    if executor == "ray":
        library_config = library_config.absolute()
    with ProgressReporter(quiet=quiet) as reporter:
        library = Library(library_config, reporter.inner)
        plan = make_plan(options, library)
        with to_look_at(store) as opened:
            if executor == "local":
                refuse_what_does_not_fit(plan, opened, memory, retry_failed)
            if dry_run:
                print_plan(plan, opened, library, workers, retry_failed, executor)
                return
        opened = Store(library_config.store)
        runner_executor = choose(
            executor,
            library,
            Limits(timeout, memory),
            reporter.inner,
            workers=workers,
            ray_address=ray_address,
        )
        runner = Runner(opened, runner_executor, reporter, retry_failed)
        try:
            with (
                opened.writing(lambda: reporter.note(f"another run holds {store}: waiting")),
                BackgroundMirror(store) as mirror,
            ):
                summary = runner.run(plan)
                reporter.stage("page and MLflow", 1)
                paths = write_reports(opened, plan.suite.name)
        finally:
            runner_executor.close()
    print_leaderboard(opened, plan.suite.name)
    print_summary(summary, paths, mirror, allow_partial)
    opened.close()
    raise typer.Exit(summary.exit_code(allow_partial))
