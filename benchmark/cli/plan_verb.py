"""`plan`: what a run would do, what it would cost, and why a cell is to be done again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from benchmark.cells import Cell
from benchmark.cli import flags
from benchmark.cli.options import check_machine, gather
from benchmark.cli.plan_report import print_plan, refuse_what_does_not_fit, to_look_at
from benchmark.cli.plan_why import explain
from benchmark.core.errors import InputError, did_you_mean
from benchmark.core.library import Library
from benchmark.plan import Plan, make_plan


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("plan", help=__doc__)(plan)


def plan(
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
    allow_partial: Annotated[bool, typer.Option("--allow-partial", hidden=True)] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", hidden=True)] = False,
    executor: Annotated[str, typer.Option(hidden=True)] = "local",
    workers: Annotated[int, typer.Option(hidden=True)] = 1,
    ray_address: Annotated[str | None, typer.Option(hidden=True)] = None,
    timeout: Annotated[float | None, typer.Option(hidden=True)] = None,
    memory: Annotated[float | None, typer.Option(hidden=True)] = None,
    keep_logits: Annotated[bool, typer.Option("--keep-logits", hidden=True)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", hidden=True)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", hidden=True)] = False,
    set_: flags.Settings = None,
    config: flags.Config = None,
    why: Annotated[
        str | None, typer.Option(help="A cell, TASK/METHOD/DPC/LEARNER: what its keys are made of.")
    ] = None,
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Show the cells of a run, its estimated hours, memory, disk and download; fetch nothing."""
    given: dict[str, Any] = dict(locals())
    check_machine(executor, workers, timeout, memory, ray_address)
    library = Library(flags.library_config(store, assets, offline, tasks, look=True))
    made = make_plan(gather(given), library)
    cell = None if why is None else _find(made, why)
    with to_look_at(store) as opened:
        if cell is None:
            if executor == "local":
                refuse_what_does_not_fit(made, opened, memory, retry_failed)
            print_plan(made, opened, library, workers, retry_failed, executor)
        else:
            explain(cell, opened)


def _find(plan: Plan, name: str) -> Cell:
    parts = name.strip().split("/")
    if len(parts) != 4:
        raise InputError(f"--why {name!r}: write it as TASK/METHOD/DPC/LEARNER")
    wanted = tuple(part.strip() for part in parts)
    names = {
        (cell.id.task, cell.id.method, cell.id.dpc, cell.id.learner): cell for cell in plan.cells
    }
    if wanted in names:
        return names[wanted]
    for item in plan.skipped:
        cell = item.plan.cell
        if (cell.task, cell.method, cell.dpc, cell.learner) == wanted:
            raise InputError(f"--why {name!r}: not available here: {item.plan.reason}")
    hint = did_you_mean("/".join(wanted), ["/".join(known) for known in names])
    raise InputError(f"--why {name!r}: no such cell in this plan.{hint[:400]}")
