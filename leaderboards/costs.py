"""What sets and trainings cost, and what the sets hold; how alike the runs of one set are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from leaderboards.model import CellResult, Leaderboard
from leaderboards.rounding import brief, decimals, percent
from leaderboards.rows import COSTS, QUALITY, RARE, SHARES, SIZES
from leaderboards.table import Entry, Table, entries

Show = Callable[[float], str]

SET_FIGURES: dict[str, tuple[str, Show]] = {
    "distil_seconds": ("made in\n(s a set)", brief),
    "set_rows": ("rows", brief),
    "set_words": ("words", brief),
    "set_tokens": ("tokens", brief),
    "set_bytes": ("bytes", brief),
    "set_floats": ("floats", brief),
    "copies": ("copies of\ntrain rows (%)", percent),
    "overlap_train": ("8-gram in\ntrain (%)", percent),
    "overlap_test": ("8-gram in\ntest (%)", percent),
    "label_agreement": ("labels that the\nteacher shares (%)", percent),
    "perplexity": ("perplexity", brief),
    "distinct_1": ("distinct\n1-grams (%)", percent),
    "distinct_2": ("distinct\n2-grams (%)", percent),
    "epsilon": ("privacy\nε", brief),
    "delta": ("privacy\nδ", lambda value: f"{value:.0e}"),
    "lm_tokens": ("language model\ntokens a set", brief),
}
RUN_FIGURES: dict[str, tuple[str, Show]] = {
    "train_seconds": ("train\n(s a run)", brief),
    "predict_seconds": ("predict\n(s a run)", brief),
    "peak_memory_mb": ("peak memory\n(MB)", brief),
}
assert {*SET_FIGURES, *RUN_FIGURES} == {*COSTS, *SIZES, *SHARES, *QUALITY, *RARE}


def set_table(board: Leaderboard) -> Table | None:
    """Return what the sets of each method and DPC are, as means over its tasks."""
    groups: dict[tuple, dict[str, dict[str, list[float]]]] = {}
    for cell in board.cells:
        figures = groups.setdefault((cell.row, cell.id.dpc), {name: {} for name in SET_FIGURES})
        for name, by_task in figures.items():
            if np.isfinite(cell.averages[name]):
                by_task.setdefault(cell.id.task, []).append(cell.averages[name])
    rows = []
    full = [(key, "0") for key in board.full_rows]
    for key, dpc in [*((key, dpc) for key in board.rows for dpc in board.dpcs), *full]:
        if any(figures := groups.get((key, dpc), {}).values()):
            values = [
                np.mean([np.mean(v) for v in by_task.values()]) if by_task else np.nan
                for by_task in figures
            ]
            rows.append((board.labels[key], "all" if dpc == "0" else dpc, values))
    return _figures(("method", "DPC"), rows, SET_FIGURES)


def run_table(board: Leaderboard) -> Table | None:
    """Return what one training costs each learner at each DPC, as means over its cells."""
    groups: dict[tuple[str, str], list[CellResult]] = defaultdict(list)
    for cell in board.cells:
        if cell.summary is not None:
            groups[cell.id.learner, cell.id.dpc].append(cell)
    rows, devices = [], []
    for learner in board.learners:
        for dpc in [*board.dpcs, "0"]:
            if cells := groups.get((learner, dpc)):
                table = np.array([[c.averages[name] for name in RUN_FIGURES] for c in cells])
                values = [
                    np.nan if np.isnan(column).all() else np.nanmean(column) for column in table.T
                ]
                values[-1] = np.nan if np.isnan(table[:, -1]).all() else np.nanmax(table[:, -1])
                rows.append((learner, "all" if dpc == "0" else dpc, values))
                devices.append(", ".join(sorted({cell.device for cell in cells} - {""})))
    table = _figures(("learner", "DPC"), rows, RUN_FIGURES)
    if table is None:
        return None
    with_device = ((*row, Entry(where)) for row, where in zip(table.rows, devices, strict=True))
    return Table(table.title, (*table.header, "device"), tuple(with_device), left=table.left)


def precision_table(board: Leaderboard) -> Table | None:
    """Return for each learner how much the set matters and what difference could be seen."""
    rows = []
    for learner in board.learners:
        cells = [
            c
            for c in board.cells
            if c.id.learner == learner and c.status == "ok" and c.summary.n_sets > 1
        ]
        tested = [c.comparison.detectable_difference for c in cells if c.comparison]
        if cells:
            rows.append(
                entries(
                    learner,
                    str(len(cells)),
                    decimals(_median([c.summary.icc for c in cells]), 2),
                    decimals(_median([c.summary.design_effect for c in cells]), 2),
                    percent(_median(tested)),
                )
            )
    header = ("learner", "cells", "ICC", "design effect", "smallest detectable\ndifference")
    return Table("", header, tuple(rows)) if rows else None


def _figures(names: tuple[str, str], rows: list, figures: dict[str, tuple[str, Show]]):
    """Return a table of figures without the columns that nothing is known of."""
    known = [place for place in range(len(figures)) if any(np.isfinite(v[place]) for *_, v in rows)]
    if not known:
        return None
    heads = [list(figures.values())[place] for place in known]
    body = tuple(
        (
            *entries(name, dpc),
            *(
                Entry(show(values[place]), value=float(values[place]))
                for place, (_, show) in zip(known, heads, strict=True)
            ),
        )
        for name, dpc, values in rows
    )
    return Table("", (*names, *(head for head, _ in heads)), body, left=1)


def _median(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else float("nan")
