"""What sets and trainings cost, and what the sets hold; how alike the runs of one set are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np

from leaderboards.model import CellResult, Leaderboard, RowKey
from leaderboards.rounding import brief, decimals, percent, power
from leaderboards.rows import COSTS, QUALITY, RARE, SHARES, SIZES
from leaderboards.scores import is_wide
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
    "delta": ("privacy\nδ", power),
    "lm_tokens": ("language model\ntokens a set", brief),
}
RUN_FIGURES: dict[str, tuple[str, Show]] = {
    "train_seconds": ("train\n(s a run)", brief),
    "predict_seconds": ("predict\n(s a run)", brief),
    "peak_memory_mb": ("peak memory\n(MB)", brief),
}
assert {*SET_FIGURES, *RUN_FIGURES} == {*COSTS, *SIZES, *SHARES, *QUALITY, *RARE}


def set_table(board: Leaderboard) -> Table | None:
    """Return what the sets are, a line for each task, DPC and method.

    In a wide suite lines are of method and DPC, means over the tasks that the method has. A figure
    that one of these lacks is blank: its mean would be over other tasks than its neighbour's.
    """
    by_task = _set_figures(board)
    lines = [(key, dpc) for key in board.rows for dpc in board.dpcs]
    lines += [(key, "0") for key in board.full_rows]
    if not is_wide(board) and len(board.tasks) > 1:
        by_dpc = sorted(lines, key=lambda line: [*board.dpcs, "0"].index(line[1]))
        rows = [
            ((task, _shown(dpc), board.labels[key]), by_task[key, dpc][task])
            for task in board.tasks
            for key, dpc in by_dpc
            if task in by_task[key, dpc]
        ]
        return _figures(("task", "DPC", "method"), rows, SET_FIGURES, left=3)
    found = [(key, dpc, by_task[key, dpc]) for key, dpc in lines if by_task[key, dpc]]
    sizes = {len(of_tasks) for _, _, of_tasks in found}
    rows = []
    for key, dpc, of_tasks in found:
        number = (str(len(of_tasks)),) if len(sizes) > 1 else ()
        names = (board.labels[key], _shown(dpc), *number)
        rows.append((names, np.mean(list(of_tasks.values()), axis=0)))
    heads = ("method", "DPC", "tasks") if len(sizes) > 1 else ("method", "DPC")
    return _figures(heads, rows, SET_FIGURES)


def _set_figures(board: Leaderboard) -> dict[tuple[RowKey, str], dict[str, np.ndarray]]:
    """Return (row, DPC) -> task -> the figures of its sets, over the learners that know each."""
    found: dict[tuple[RowKey, str], dict[str, list[list[float]]]] = defaultdict(dict)
    for cell in board.cells:
        figures = [cell.averages[name] for name in SET_FIGURES]
        if np.isfinite(figures).any():
            found[cell.row, cell.id.dpc].setdefault(cell.id.task, []).append(figures)
    means: dict[tuple[RowKey, str], dict[str, np.ndarray]] = defaultdict(dict)
    for line, of_tasks in found.items():
        means[line] = {task: _known_means(np.array(table)) for task, table in of_tasks.items()}
    return means


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
                values = _known_means(table)
                values[-1] = np.nan if np.isnan(table[:, -1]).all() else np.nanmax(table[:, -1])
                rows.append(((learner, _shown(dpc)), values))
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


def repeats_table(board: Leaderboard) -> Table | None:
    """Return for each method and DPC the tasks on which some of its sets are the same rows."""
    found: dict[tuple[RowKey, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    for cell in board.cells:
        counts = len(cell.scores), cell.distinct_sets
        seen = found[cell.row, cell.id.dpc].get(cell.id.task, (0, 0))
        found[cell.row, cell.id.dpc][cell.id.task] = max(seen, counts)  # most learners have all
    rows = []
    for key, dpc in ((key, dpc) for key in board.rows for dpc in board.dpcs):
        of_tasks = found.get((key, dpc), {})
        told = [
            f"{task} {distinct} of {sets}"
            for task in board.tasks
            for sets, distinct in [of_tasks.get(task, (0, 0))]
            if distinct < sets
        ]
        if told:
            rows.append(entries(board.labels[key], dpc, ", ".join(told)))
    header = ("method", "DPC", "sets that differ")
    return Table("Sets that are alike", header, tuple(rows), left=3) if rows else None


def _shown(dpc: str) -> str:
    return "all" if dpc == "0" else dpc


def _known_means(table: np.ndarray) -> np.ndarray:
    """Return means over rows of what is known, NaN for a column of which nothing is."""
    known = np.isfinite(table)
    sums, counts = np.where(known, table, 0).sum(axis=0), known.sum(axis=0)
    return np.where(counts, sums / np.maximum(counts, 1), np.nan)


def _figures(
    names: tuple[str, ...], rows: list, figures: dict[str, tuple[str, Show]], left: int = 1
) -> Table | None:
    """Return a table of figures without the columns that nothing is known of."""
    known = [place for place in range(len(figures)) if any(np.isfinite(v[place]) for _, v in rows)]
    if not known:
        return None
    heads = [list(figures.values())[place] for place in known]
    body = tuple(
        (
            *entries(*texts),
            *(
                Entry(show(values[place]), value=_number(values[place]))
                for place, (_, show) in zip(known, heads, strict=True)
            ),
        )
        for texts, values in rows
    )
    return Table("", (*names, *(head for head, _ in heads)), body, left=left)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _median(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else float("nan")
