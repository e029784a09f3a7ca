"""The page of a suite, format-neutral: which sections there are and in what order."""

from __future__ import annotations

from leaderboards import sections
from leaderboards.across import across_learners, one_by_one
from leaderboards.averages import Column, columns, summary_tables
from leaderboards.caption import reading_points, summary_sentences
from leaderboards.figures import rank_figure, scaling_figure
from leaderboards.model import Leaderboard
from leaderboards.ranks import MIN_TASKS, rank_sentence, rank_table, rank_tests
from leaderboards.resamples import RESAMPLES, Resamples
from leaderboards.scores import is_wide, main_tables
from leaderboards.standings import cell_standings, mean_standings
from leaderboards.table import Page, Section


def make_page(board: Leaderboard) -> Page:
    """Return the page of a leaderboard, a pure function of its rows."""
    averages, resamples = columns(board), Resamples()
    tables = [table for parts in main_tables(board).values() for table in parts]
    made = [
        Section("", summary_sentences(board), reading_points(board)),
        _summary(board, averages) if is_wide(board) else None,
        Section("Scores", _what_scores_show(board), tables=tuple(tables)),
        _across(board, averages, resamples),
        _scaling(board, averages, resamples),
        _standings(board, averages, resamples),
        sections.pairs(board),
        _ranks(board, averages),
        sections.fidelity(board),
        sections.agreement(board),
        sections.shortcuts(board),
        sections.fairness(board),
        sections.costs(board),
        sections.preparation(board),
        sections.precision(board),
        sections.coverage(board),
        sections.setup(board),
    ]
    return Page(f"Leaderboard: {board.suite}", tuple(section for section in made if section))


def _summary(board: Leaderboard, averages: list[Column]) -> Section | None:
    tables = tuple(summary_tables(board, averages))
    if not tables:
        return None
    counts = (
        "+ / = / − counts the tasks on which the method is better than "
        f"{board.reference}, not told apart from it, and worse (the test of the star)."
        if board.reference
        else "There is no reference, so nothing is counted."
    )
    return Section(
        "Summary",
        (
            f"Mean score over the tasks of a column ({_tasks(board, averages)}); the places that "
            "the data leave open, averaged over them: from 1 + the number of methods shown to be "
            "better, to the number of methods less those shown to be worse; and counts against "
            f"the reference: {counts} A method that lacks any of the tasks has no mean and no part "
            "in the places. Every task is below, under Scores.",
        ),
        tables=tables,
    )


def _standings(board: Leaderboard, averages: list[Column], resamples: Resamples) -> Section | None:
    """Say where each method stands: cell by cell, or averaged where there are too many cells."""
    wide = is_wide(board)
    made = mean_standings(board, averages, resamples) if wide else cell_standings(board)
    if not made:
        return None
    over = (
        "Places are averaged over the tasks, and so is the lead in points, with an interval by the "
        f"bootstrap of the section above ({RESAMPLES:,} resamples); the other figures are medians "
        "over the tasks, of which the CSV has each."
        if wide
        else "The lead is in points, with the interval of Welch's test, which is not corrected for "
        "the number of methods; the p beside it is."
    )
    against = f"against {board.reference}" if board.reference else "against a reference"
    return Section(
        "Places and effects",
        (
            "Places are those that the data leave open: 1 to 3 says that no method is shown to be "
            "better and that two are not shown to be worse; a single place is clear. "
            f"{_untested(board)}{over}",
            f"Set means {against}: Hedges g is the lead in standard deviations of a set, P(better) "
            "the chance that a set of the method beats one of the reference. Recovered is (score − "
            "random) / (full − random); of full is score / full, the recovered accuracy of the TDD "
            "and DaLLME papers. ICC is the share of a run's variance that its set "
            "explains, the design effect by how much that inflates the variance of a mean.",
        ),
        tables=tuple(made),
    )


def _across(board: Leaderboard, averages: list[Column], resamples: Resamples) -> Section | None:
    tables = tuple(across_learners(board, averages, resamples))
    if not tables or len(board.tasks) == len(board.learners) == 1:
        return None
    few = (
        " With fewer than ten tasks a test of the ranks over tasks would only describe, so there "
        "is none."
    )
    return Section(
        "Across learners",
        (
            f"{_over_what(board, averages)} There is none where a cell has one set only."
            f"{few if 1 < len(board.tasks) < MIN_TASKS else ''}",
        ),
        tables=tables,
    )


def _scaling(board: Leaderboard, averages: list[Column], resamples: Resamples) -> Section | None:
    figure = scaling_figure(board, averages, resamples)
    if figure is None:
        return None
    bands = (
        "of the bootstrap above, over the tasks of a column" if is_wide(board) else "on set means"
    )
    return Section(
        "Score by budget",
        (
            f"Bands are 95% intervals {bands}; each panel has a scale of its own, and a band that "
            "goes far beyond all means is cut off.",
        ),
        figures=(figure,),
    )


def _ranks(board: Leaderboard, averages: list[Column]) -> Section | None:
    tests = rank_tests(board, averages)
    table = rank_table(tests)
    if table is None:
        return None
    figure = rank_figure(board, tests)
    return Section(
        "Ranks over tasks",
        (
            "Friedman's test on the mean scores, and Nemenyi's critical difference (CD): average "
            "ranks that are further apart differ at 0.05. Methods joined by = are closer than "
            f"that. Shown from {MIN_TASKS} tasks on; with fewer it would only describe. Methods "
            f"that have no places above are not here. {rank_sentence(tests)}",
        ),
        tables=(table,),
        figures=(figure,) if figure else (),
    )


def _what_scores_show(board: Leaderboard) -> tuple[str, ...]:
    """Say how the main tables go, and name what has no score at all and so is in none."""
    scored = [cell.id for cell in board.cells if cell.summary is not None]
    if not scored:
        return ("No cell has a score; the reasons stand under Coverage.",)
    kinds = {
        "task": [t for t in board.tasks if t not in {cell.task for cell in scored}],
        "learner": [t for t in board.learners if t not in {cell.learner for cell in scored}],
    }
    parts = [f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names]
    told = ["One table for each learner."] if len(board.learners) > 1 else []
    told += [f"Without any score (see Coverage): {'; '.join(parts)}."] if parts else []
    return (" ".join(told),) if told else ()


def _untested(board: Leaderboard) -> str:
    """Say what a method without a test does to the places of the others."""
    lacking = [c for c in board.cells if c.summary and c.id.dpc != "0" and c.rank.rank is None]
    if not lacking:
        return ""
    return (
        "A method that can't be tested (one set, or runs missing) has no place, and leaves one "
        "place more open to each of the others. "
    )


def _over_what(board: Leaderboard, averages: list[Column]) -> str:
    """Say what the tables across learners show, and how their intervals are made."""
    if {len(column.tasks) for column in averages} == {1} or one_by_one(board, averages):
        what = "Scores, a table a task," if len(board.tasks) > 1 else "Scores"
        return f"{what} with the 95% t-interval on set means."
    return (
        f"Mean over the tasks of a table ({_tasks(board, averages)}), the same for all its "
        "learners, with a 95% interval by a two-stage bootstrap (sets, then seeds within a set), "
        "widened for the number of sets as a t-interval is. It speaks of these tasks, not of tasks "
        "in general."
    )


def _tasks(board: Leaderboard, averages: list[Column]) -> str:
    """Say over how many tasks the averages go."""
    sizes = sorted({len(column.tasks) for column in averages})
    if sizes == [len(board.tasks)]:
        return f"all {sizes[0]}"
    number = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else f"{sizes[0] if sizes else 0}"
    whose = board.reference or "most methods"
    verb = "has" if board.reference else "have"
    return f"{number} of {len(board.tasks)}, in each column those that {whose} {verb}"
