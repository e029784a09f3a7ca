"""The formats a leaderboard is written in, and the CSV, whose columns are a contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from benchmark.core.errors import InputError, did_you_mean
from evaluators.statistics import Rank
from leaderboards.averages import column_ranks
from leaderboards.latex import to_latex
from leaderboards.markdown import to_markdown
from leaderboards.model import CellResult, Leaderboard
from leaderboards.rounding import steady
from leaderboards.rows import COSTS, FAIRNESS, HALVES, METRICS, QUALITY, RARE, SHARES, SIZES
from leaderboards.table import one_line
from leaderboards.webpage import to_html

NAN = float("nan")
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_frame(board: Leaderboard) -> pd.DataFrame:
    """Return one line per cell with the columns of the CSV, numbers at full precision.

    The last columns, of groups and of what methods declare, are there where any cell has them, and
    so are the ranks among the methods that have all tasks of an average, where they are others.
    """
    within = column_ranks(board)
    extra = [_extra(cell, within.get(cell.id)) for cell in board.cells]
    there = [n for n in (extra[0] if extra else ()) if any(e[n] == e[n] for e in extra)]
    return pd.DataFrame(
        [
            _record(cell) | {name: more[name] for name in there}
            for cell, more in zip(board.cells, extra, strict=True)
        ]
    )


def to_csv(board: Leaderboard) -> str:
    """Return the CSV: one line per suite x task x dpc x learner x method, scores as fractions."""
    frame = to_frame(board)
    for name in frame.select_dtypes("float"):
        frame[name] = frame[name].map(steady)
    for name in frame.select_dtypes(exclude="number"):
        frame[name] = frame[name].map(_no_formula)
    return frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _no_formula(value: object) -> object:
    """A text that a spreadsheet would run as a formula, with the mark that keeps it a text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _record(cell: CellResult) -> dict[str, object]:
    summary, test = cell.summary, cell.comparison

    def of_runs(name: str) -> float:
        return getattr(summary, name) if summary else NAN

    def of_test(name: str) -> float:
        return getattr(test, name) if test else NAN

    return {
        "suite": cell.id.suite,
        "task": cell.id.task,
        "dpc": cell.id.dpc,
        "learner": cell.id.learner,
        "method": cell.id.method,
        "params": cell.id.params,
        "metric": cell.metric,
        "mean": of_runs("mean"),
        "std": of_runs("std"),
        "ci_low": of_runs("ci_low"),
        "ci_high": of_runs("ci_high"),
        "n_sets": summary.n_sets if summary else 0,
        "n_runs": summary.n_runs if summary else 0,
        "p_sets": of_test("p_sets"),
        "p_runs": of_test("p_runs"),
        "p_holm": of_test("p_holm"),
        "star": test.star if test else "",
        "rank": cell.rank.rank if cell.rank.rank is not None else "",
        "status": cell.status,
        "reason": one_line(cell.reason),
        "icc": of_runs("icc"),
        "design_effect": of_runs("design_effect"),
        "hedges_g": of_test("hedges_g"),
        "probability_of_improvement": of_test("probability_of_improvement"),
        "smallest_detectable_difference": of_test("detectable_difference"),
        "rank_low": cell.rank.rank if cell.rank.rank is not None else "",
        "rank_high": cell.rank.worst if cell.rank.worst is not None else "",
        **{name: cell.averages[name] for name in METRICS},
        "recovered": cell.recovered,
        **{name: cell.averages[name] for name in COSTS},
        "device": cell.device,
        **{name: cell.averages[name] for name in (*SIZES, *SHARES)},
        "sampling": str(cell.info.get("sampling", "")),
        **{name: cell.averages[name] for name in (*QUALITY, *HALVES)},
    }


def _extra(cell: CellResult, within: Rank | None) -> dict[str, float]:
    """Columns that few suites have anything in; NaN where a cell has nothing."""
    found: dict[str, float] = {}
    for name in FAIRNESS:
        of = cell.fairness.get(name)
        found |= {
            name: of.mean if of else NAN,
            f"{name}_low": of.ci_low if of else NAN,
            f"{name}_high": of.ci_high if of else NAN,
        }
    found |= {name: cell.averages[name] for name in RARE}
    found |= {"of_full": cell.of_full}
    return found | {
        "column_rank_low": within.rank if within else NAN,
        "column_rank_high": within.worst if within else NAN,
    }


FORMATS: Mapping[str, tuple[str, Callable[[Leaderboard], str]]] = {
    "md": (".md", to_markdown),
    "csv": (".csv", to_csv),
    "html": (".html", to_html),
    "latex": (".tex", to_latex),
}
"""Name of a format -> the suffix of its file, and the function that writes it."""


def render(board: Leaderboard, name: str) -> str:
    """Return the leaderboard in one format, by its name in `FORMATS`."""
    if name not in FORMATS:
        raise InputError(f"unknown format {name!r}.{did_you_mean(name, list(FORMATS))}")
    return FORMATS[name][1](board)
