"""The sections of a page that stand on one table or two: what they say above them."""

from __future__ import annotations

import numpy as np

from leaderboards.agreement import agreement_table
from leaderboards.caption import setup_tables
from leaderboards.costs import precision_table, repeats_table, run_table, set_table
from leaderboards.coverage import count_table, gap_table
from leaderboards.fidelity import fidelity_table
from leaderboards.groups import fairness_tables
from leaderboards.model import Leaderboard
from leaderboards.pairs import pair_tables
from leaderboards.preparation import preparation_table
from leaderboards.rounding import percent
from leaderboards.scores import is_wide
from leaderboards.shortcuts import LARGEST_CLASS, shortcut_tables
from leaderboards.table import Section, Table

ALIKE = (
    "Some sets of a cell are the same rows, drawn again from another pool or start; they count as "
    "often as they occur. The table says how many differ.",
)


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


def pairs(board: Leaderboard) -> Section | None:
    """Return who is shown to be better than whom."""
    tables = tuple(pair_tables(board))
    if not tables:
        return None
    return Section(
        "Pair by pair",
        (
            "On how many tasks and DPCs the method of the line is better than that of the column "
            "(its number is that of a line), not told apart from it, and worse: Welch's test on "
            "set means, Holm-corrected over all pairs of a task, learner and DPC, at the 5% level, "
            "as for the places.",
        ),
        tables=tables,
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
            "and on the half that share many. A learner that goes by shared words, all that the "
            "learner overlap-only sees, may gain in one half and lose in the other; so may one "
            f"that does not, as class balance differs between the halves{_balance(board)}.",
        ),
        tables=tables,
    )


def _balance(board: Leaderboard) -> str:
    """Say the share of the largest class in both halves, of the tasks of which it is known."""
    tasks = [task for task in board.tasks if task in LARGEST_CLASS]
    shares = [f"{t} {' and '.join(map(percent, LARGEST_CLASS[t]))}%" for t in tasks]
    return f" (share of the largest class: {', '.join(shares)})" if shares else ""


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
            f"{_sets(board)} Trainings: means over cells, and the highest peak of memory, the "
            "worker's resident size, which includes what earlier cells of the same process still "
            "held. A copy equals a training row after normalisation; the "
            "8-gram columns give the share of rows with eight words in a row that also stand in "
            f"the split.{_quality(board)}",
        ),
        tables=tables,
    )


def _sets(board: Leaderboard) -> str:
    """Say what a line of the table of sets is over."""
    if not is_wide(board):
        return (
            "Sets: means over sets, a line for each task."
            if len(board.tasks) > 1
            else ("Sets: means over sets.")
        )
    return (
        "Sets: means over the tasks that a method has; – where one of these lacks the figure, so "
        "that all columns of a line are over the same tasks."
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
    table, repeats = precision_table(board), repeats_table(board)
    if table is None:
        return None
    return Section(
        "How sure",
        (
            "Medians over complete cells. ICC is the share of a run's variance that its set "
            "explains; the design effect is by how much that inflates the variance of a mean over "
            "runs. The smallest detectable difference from the reference, in points, is what these "
            "sets would find 80% of the time, before Holm.",
            *(ALIKE if repeats else ()),
        ),
        tables=_there(table, repeats),
    )


def coverage(board: Leaderboard) -> Section:
    """Return what was planned and what became of it."""
    gaps = gap_table(board)
    said = "Cells by status." if gaps else "Cells by status: nothing is missing."
    return Section("Coverage", (said,), tables=_there(count_table(board), gaps))


def setup(board: Leaderboard) -> Section:
    """Return what the rows were made with."""
    outside = board.n_rows - board.n_used
    rows = f"{board.n_used:,} of {board.n_rows:,} rows" if outside else f"{board.n_rows:,} rows"
    said = f"Every number on this page is computed from {rows} (digest {board.digest})."
    if outside:
        said += f" {outside:,} lie outside the plan of sets and seeds, or only stood in for runs."
    return Section("Setup", (said,), tables=setup_tables(board))


def _there(*tables: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in tables if table is not None)
