"""The sections of a page that stand on one table or two: what they say above them."""

from __future__ import annotations

import numpy as np

from leaderboards.agreement import agreement_table
from leaderboards.caption import setup_tables
from leaderboards.costs import precision_table, run_table, set_table
from leaderboards.coverage import count_table, gap_table
from leaderboards.fidelity import fidelity_table
from leaderboards.groups import fairness_tables
from leaderboards.model import Leaderboard
from leaderboards.preparation import preparation_table
from leaderboards.shortcuts import shortcut_tables
from leaderboards.table import Section, Table


def fidelity(board: Leaderboard) -> Section | None:
    """Return our figures beside the papers'."""
    table = fidelity_table(board)
    if table is None:
        return None
    return Section(
        "Beside the papers",
        (
            "Published figures of the same task, method, learner and budget, or of what stands in "
            "for them, with ours and its interval. What we ran otherwise is listed as far as the "
            "rows tell it: a difference beside a long list says little about either side. The "
            "papers' figures are means and standard deviations over runs, in points.",
        ),
        tables=(table,),
    )


def agreement(board: Leaderboard) -> Section | None:
    """Return how far learners agree about the order."""
    table = agreement_table(board)
    if table is None:
        return None
    return Section(
        "Does the order depend on the learner?",
        (
            "Kendall's rank correlation (tau-b) between two learners' orders of the methods, "
            "averaged over the tasks and DPCs that both have (their number in brackets): 1 is the "
            "same order, 0 no relation, −1 the reverse. It is of mean scores, so noise lowers it.",
        ),
        tables=(table,),
    )


def shortcuts(board: Leaderboard) -> Section | None:
    """Return scores by shared words, of tasks of pairs."""
    tables = tuple(shortcut_tables(board))
    if not tables:
        return None
    return Section(
        "Few and many words in common",
        (
            "Tasks of pairs: accuracy on the half of the test pairs that share few of their words, "
            "and on the half that share many. What a learner gains in one half and loses in the "
            "other is the shortcut of shared words, all that the learner overlap-only sees.",
        ),
        tables=tables,
    )


def fairness(board: Leaderboard) -> Section | None:
    """Return how groups fare, of tasks with groups."""
    tables = tuple(fairness_tables(board))
    if not tables:
        return None
    return Section(
        "Groups",
        (
            "Tasks whose rows are of groups. TPR gap: of each class the largest true-positive rate "
            "of a group less the smallest, root mean square over classes, in points; less is "
            "fairer. Small groups widen it by chance, for all methods alike. Worst group: accuracy "
            "where it is lowest. Brackets hold 95% t-intervals over sets.",
        ),
        tables=tables,
    )


def costs(board: Leaderboard) -> Section | None:
    """Return what sets and trainings cost, and what sets hold."""
    tables = _there(set_table(board), run_table(board))
    if not tables:
        return None
    return Section(
        "Costs and contents",
        (
            "Sets: means over the tasks a method has. Trainings: means over cells, and the "
            "highest peak of memory. A copy equals a training row after normalisation; the "
            "8-gram columns give the share of rows with eight words in a row that also stand in "
            f"the split.{_quality(board)}",
        ),
        tables=tables,
    )


def _quality(board: Leaderboard) -> str:
    """Explain the columns of the sets' quality, which rows of an earlier version lack."""
    if not any(np.isfinite(cell.averages["distinct_2"]) for cell in board.cells):
        return ""
    return (
        " The teacher is naive Bayes on words of training rows, never the judged one; distinct "
        f"n-grams are a share of all n-grams of a set, and fall with its length."
        f"{_perplexity(board)}"
    )


def _perplexity(board: Leaderboard) -> str:
    """Say which language model read the sets, if one did."""
    models = sorted(set().union(*(cell.perplexity_models for cell in board.cells)))
    if not models:
        return ""
    mixed = " (not to be compared with each other)" if len(models) > 1 else ""
    return f" Perplexity is that of a token under {', '.join(models)}{mixed}, each text by itself."


def preparation(board: Leaderboard) -> Section | None:
    """Return what methods learned once per task."""
    table = preparation_table(board)
    if table is None:
        return None
    return Section(
        "Learned once per task",
        (
            "Some methods learn something from the training pool before they make their sets, "
            "once for all budgets. Phases that methods share were run once and count for each. "
            "Brackets hold 95% intervals.",
        ),
        tables=(table,),
    )


def precision(board: Leaderboard) -> Section | None:
    """Return how much the sets vary."""
    table = precision_table(board)
    if table is None:
        return None
    return Section(
        "How sure",
        (
            "Medians over complete cells. ICC is the share of a run's variance that its set "
            "explains; the design effect is by how much that inflates the variance of a mean over "
            "runs. The smallest detectable difference from the reference, in points, is what these "
            "sets would find 80% of the time, before Holm.",
        ),
        tables=(table,),
    )


def coverage(board: Leaderboard) -> Section:
    """Return what was planned and what became of it."""
    gaps = gap_table(board)
    said = "Cells by status." if gaps else "Cells by status: nothing is missing."
    return Section("Coverage", (said,), tables=_there(count_table(board), gaps))


def setup(board: Leaderboard) -> Section:
    """Return what the rows were made with."""
    said = (
        f"Every number on this page is computed from {board.n_rows:,} rows (digest {board.digest})."
    )
    return Section("Setup", (said,), tables=setup_tables(board))


def _there(*tables: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)
