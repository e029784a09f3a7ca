"""`track`: send to MLflow what it does not have yet."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmark.cli import flags
from benchmark.cli.report import damage_sentence, mlflow_sentence
from benchmark.core.errors import BenchmarkError, InputError
from benchmark.store import Store
from benchmark.tracking import Mirror
from benchmark.tracking_server import damaged_files, tracking_uri


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("track", help=__doc__)(track)


def track(
    sync: Annotated[
        bool, typer.Option("--sync", help="Send what is missing, exactly once.")
    ] = False,
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Send runs that are in the store and not in MLflow."""
    if not sync:
        raise InputError("track: give --sync")
    opened = Store(store, create=False)
    uri = tracking_uri(store)
    try:
        with opened.writing():
            sent = Mirror(opened, uri).complete()
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        if damaged := damaged_files(uri):
            raise BenchmarkError(
                f"{damage_sentence(damaged)}; the same command then sends everything again ({text})"
            ) from error
        raise BenchmarkError(f"MLflow at {uri} cannot be reached: {text}") from error
    finally:
        opened.close()
    print(f"{sent} runs sent to MLflow. {mlflow_sentence(store)}")
