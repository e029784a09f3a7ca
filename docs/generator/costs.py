"""What each method cost where it was measured: from the published rows alone."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

COLUMNS = ("suite", "task", "method", "dpc", "set_key", "distil_seconds", "set_rows", "set_words",
           "device", "preparation", "status")  # fmt: skip


def measured(results: Path) -> pd.DataFrame:
    """Read `results/*.parquet`; one line per suite, method and DPC, sets counted once.

    Columns: tasks, sets, median seconds of a set, median seconds of what is learned once per task
    (NaN if nothing is), median rows and words of a set, device.
    """
    paths = sorted(results.glob("*.parquet"))  # older files lack columns that came later
    frames = [pd.read_parquet(path).reindex(columns=list(COLUMNS)) for path in paths]
    rows = pd.concat(frames).query("status == 'ok'").drop_duplicates(["suite", "set_key"])
    rows["learned"] = [_seconds(text) for text in rows["preparation"]]
    rows["order"] = pd.to_numeric(rows["dpc"], errors="coerce")
    table = rows.groupby(["method", "suite", "order", "dpc"], as_index=False).agg(
        tasks=("task", "nunique"),
        sets=("set_key", "nunique"),
        seconds=("distil_seconds", "median"),
        learned=("learned", "median"),
        rows=("set_rows", "median"),
        words=("set_words", "median"),
        device=("device", "first"),
    )
    return table.sort_values(["method", "suite", "order"])


def _seconds(text: object) -> float:
    """Seconds of what was learned once per task."""
    facts = json.loads(text) if isinstance(text, str) and text else {}
    return float(facts.get("prepare_seconds", "nan"))
