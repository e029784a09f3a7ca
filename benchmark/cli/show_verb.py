"""`show`: print a distilled set."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from benchmark.cli import flags
from benchmark.cli.console import output
from benchmark.store import Store


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("show", help=__doc__)(show)


def show(
    set_key: Annotated[str, typer.Argument(help="Key of the set, or its beginning.")],
    store: flags.Store = flags.DEFAULT_STORE,
    assets: flags.Assets = None,
    offline: flags.Offline = False,
    tasks: flags.Tasks = None,
) -> None:
    """Print the rows of a distilled set, and what it was made of."""
    opened = Store(store, writes=False)
    record = opened.sets()[opened.find_set(set_key)]
    distilled = opened.load_set(record)
    console = output()
    for name, value in record.ingredients.items():
        console.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)
    for name, value in record.facts.items():
        console.print(f"{name}: {value:g}", markup=False, highlight=False)
    console.print(f"content hash: {distilled.content_hash}", markup=False, highlight=False)
    notes = distilled.row_notes
    table = Table("label", *(distilled.columns or {}), *notes, show_lines=True)
    for row in range(len(distilled)):
        label = distilled.classes[distilled.hard_labels[row]]
        if distilled.is_soft:
            label = " ".join(f"{p:.3f}" for p in distilled.labels[row])
        texts = (column[row] for column in (distilled.columns or {}).values())
        numbers = (f"{of[row]:.3g}" for of in notes.values())
        table.add_row(*(_plain(text) for text in (label, *texts)), *numbers)
    console.print(table)
    opened.close()


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(
        "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    )
