"""What a run ends with: the leaderboard, its files, what failed, and how to see more."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from rich.table import Table

from benchmark.background import BackgroundMirror
from benchmark.cli.console import output
from benchmark.core.records import CellId
from benchmark.frame import rows_frame
from benchmark.runner import Summary
from benchmark.store import Store
from benchmark.tracking_server import tracking_uri
from leaderboards import build_leaderboard, terminal_tables, write_files

SHOWN = 3
PAGES = 3
"""Files that are pages, not figures."""


def write_reports(store: Store, suite: str) -> list[Path]:
    """Write the page in all its forms to the store's `reports/`."""
    return write_files(build_leaderboard(rows_frame(store, suite), suite), store.reports)


def write_text(path: Path, text: str) -> Path:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path


def print_leaderboard(store: Store, suite: str, reference: str | None = None) -> None:
    """Print the main tables of a suite to standard output."""
    frame = rows_frame(store, suite)
    board = build_leaderboard(frame, suite, reference=reference)
    console = output()
    for title, header, rows in terminal_tables(board):
        table = Table(*header, title=title, title_justify="left", header_style="bold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    if not board.cells:
        console.print("no cell of this suite has been run yet")


def print_summary(
    summary: Summary, paths: list[Path], mirror: BackgroundMirror, allow_partial: bool
) -> None:
    """Say what was done, what was not and why, and where everything is."""
    print(
        f"{summary.done} cells done in {summary.seconds:.0f} s "
        f"({summary.distilled} sets distilled, {summary.trained} trainings; the rest was there)."
    )
    for reason, cells in _grouped(summary.unavailable).items():
        print(f"not available: {_named(cells)}: {reason}")
    if summary.structural:
        plural = "cell does" if summary.structural == 1 else "cells do"
        print(f"{summary.structural} {plural} not apply: the learner cannot use such sets.")
    if summary.unavailable and not allow_partial:
        print("Give --allow-partial to accept that (exit code 3 without it).")
    for reason, cells in _grouped(summary.failed).items():
        print(f"FAILED: {_named(cells)}: {reason}")
    if summary.to_retry:
        print("Once the cause is mended, add --retry-failed to the same command.")
    if summary.to_go_on:
        print("What could not be had while it ran is asked for again by the same command.")
    if summary.tokens > 0:
        print(tokens_sentence(summary))
    for path in paths[:PAGES]:
        print(f"report: {path}")
    if mirror.failure:
        print(
            f"MLflow did not get everything ({mirror.failure}); the rows are safe. "
            f"{_how_to_send(mirror)}: python -m benchmark track --sync --store {mirror.root}"
        )
    print(mlflow_sentence(mirror.root))


def damage_sentence(files: list[Path]) -> str:
    """What to do about a damaged database of MLflow's: all that was in it is in the rows too."""
    return f"MLflow's database is damaged. Move {' and '.join(map(str, files))} away"


def _how_to_send(mirror: BackgroundMirror) -> str:
    if mirror.damaged:
        return f"{damage_sentence(mirror.damaged)}, then send everything again with"
    return "Send the rest with"


def tokens_sentence(summary: Summary) -> str:
    """What endpoints billed."""
    return f"Endpoints billed {summary.tokens:,} tokens in this run."


def mlflow_sentence(store: Path) -> str:
    """How MLflow's page is opened."""
    uri = tracking_uri(store)
    if uri.startswith("http"):
        return f"MLflow's page is at {uri}"
    return f"See every run in MLflow's page: mlflow ui --backend-store-uri {uri}"


def _grouped(reasons: dict[CellId, str]) -> dict[str, list[CellId]]:
    groups: dict[str, list[CellId]] = defaultdict(list)
    for cell, reason in reasons.items():
        groups[reason].append(cell)
    return groups


def _named(cells: list[CellId]) -> str:
    """Name the cells of one reason: by what they share if they are many."""
    if len(cells) <= SHOWN:
        return "; ".join(cell.label for cell in cells)
    tasks = ", ".join(dict.fromkeys(cell.task for cell in cells))
    learners = ", ".join(dict.fromkeys(cell.learner for cell in cells))
    return f"{len(cells)} cells ({tasks}, with {learners})"
