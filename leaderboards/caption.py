"""The sentences of a page: the protocol, how to read a cell, and what the rows were made with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from leaderboards.families import family_of
from leaderboards.model import Leaderboard, RowKey
from leaderboards.rounding import brief
from leaderboards.rows import parse
from leaderboards.table import Table, entries

FEW_SETS = 10
"""Below this tests find little: the page says so."""

MORE_ROWS = 1.2
"""Times the budget's rows beyond which a page says so: shares of rows are rounded."""

LAST_DATE = 253_402_300_800
"""The year 10000 in Unix seconds; beyond it there is no date to print."""


def summary_sentences(board: Leaderboard) -> tuple[str, ...]:
    """Say in a few sentences what was run."""
    told = [
        f"Suite {board.suite}: {_count(len(board.tasks), 'task')}, "
        f"{_count(len(board.rows), 'method')}, {_count(len(board.learners), 'learner')}."
    ]
    if protocol := ", ".join(_infos(board, "protocol")):
        told.append(f"Protocol {protocol}: {_plans(board)}.{_preliminary(board)}")
    else:
        told.append(f"Each cell is planned with {_plans(board)}.")
    if encoder := ", ".join(_infos(board, "encoder")):
        told.append(f"Features for distillation: {encoder}.")
    told.append(_reference(board))
    if all(0 <= moment < LAST_DATE for moment in board.created):
        first, last = (f"{datetime.fromtimestamp(s, UTC):%Y-%m-%d}" for s in board.created)
        when = last if first == last else f"{first} to {last}"
        where = f" on {' and '.join(board.devices)}" if board.devices else ""
        told.append(f"Runs of {when} (UTC){where}.")
    return (" ".join(told),)


def _preliminary(board: Leaderboard) -> str:
    """Warn where no cell has more than a few sets."""
    sets = max((c.planned[0] for c in board.cells if c.id.dpc != "0"), default=0)
    if sets >= FEW_SETS:
        return ""
    return f" Preliminary: at most {sets} sets a cell, which is too few to tell methods apart."


def reading_points(board: Leaderboard) -> tuple[str, ...]:
    """Say how to read a cell; only what occurs on this page is explained."""
    cells = [cell for cell in board.cells if cell.summary is not None]
    points = [
        f"Scores are percentages of {_metrics(board)}: mean ± standard deviation over all runs "
        "of a cell (divisor n, as the papers have it). The number below a task is the DPC, the "
        "examples per class.",
    ]
    if any(cell.comparison for cell in cells):
        points.append(
            f"* marks a method that is better than {board.reference}: Welch's t-test on the means "
            "of the distilled sets (runs on one set are not independent), Holm-corrected within "
            "each task × learner × DPC, at the 5% level. A method that is worse has no mark."
        )
    if board.best:
        points.append(
            "Bold is rank 1: no other method is shown to be better (the same test over all pairs "
            "of the family, Holm-corrected). Methods that can't be told apart share a rank, so "
            "several may be bold. The star corrects for the comparisons with the reference alone, "
            "bold for those of all pairs: the reference of a starred method may still be bold."
        )
    if any(cell.status == "partial" for cell in cells):
        points.append(
            "† marks a cell with runs missing: its score is that of the runs there are, and it "
            "is neither tested nor ranked."
        )
    points += _repeats(board)
    points += _sampling(board)
    points += _beyond_budget(board)
    if board.full_rows:
        names = ", ".join(board.labels[row] for row in board.full_rows)
        points.append(
            f"{names}: trained on all training rows, an upper bound. It has no DPC, so one score "
            "stands in all columns of a task; it is neither tested nor ranked."
        )
    if any(" (submitted)" in label for label in board.labels.values()):
        points.append("(submitted): the sets were made elsewhere and only judged here.")
    if len(cells) < len(board.cells):
        points.append(
            "In place of a score: – not run or failed, both with the reason under Coverage; n/a "
            "where the learner cannot use such sets; blank where nothing was planned."
        )
    return tuple(points)


def setup_tables(board: Leaderboard) -> tuple[Table, ...]:
    """Return the tasks, the methods' parameters, the learners' recipes and the software."""
    rows = []
    for task in board.tasks:
        infos = [cell.info for cell in board.cells if cell.id.task == task]
        metric = next(cell.metric for cell in board.cells if cell.id.task == task)
        figures = (_first(infos, name) for name in ("n_classes", "train_rows", "test_rows"))
        rows.append(
            entries(task, metric, str(_first(infos, "task_note") or ""))
            + entries(*(_whole(figure) for figure in figures))
        )
    header = ("task", "metric", "note", "classes", "train rows", "test rows")
    tables = [_less_empty_notes(Table("Tasks", header, tuple(rows), left=3))]
    methods = [
        (label, note, text)
        for row, label in board.labels.items()
        if any((note := _note(board, row), text := _parameters(row)))
    ]
    if methods:
        rows = tuple(entries(*method) for method in methods)
        table = Table("Methods", ("method", "note", "parameters"), rows, left=3)
        tables.append(_less_empty_notes(table))
    recipes = [
        (learner, recipe) for learner in board.learners for recipe in _recipes(board, learner)
    ]
    if recipes:
        rows = tuple(entries(learner, recipe) for learner, recipe in recipes)
        tables.append(Table("Learners", ("learner", "recipe"), rows, left=2))
    if versions := _versions(board.environments):
        rows = tuple(entries(name, value) for name, value in versions.items())
        tables.append(Table("Environment", ("name", "value"), rows, left=2))
    return tuple(tables)


def _reference(board: Leaderboard) -> str:
    if not board.reference:
        return f"The reference {board.wanted} has no cells here, so no method is tested."
    groups = {family_of(c.id) for c in board.cells if c.summary and c.id.dpc != "0"}
    having = {
        family_of(cell.id)
        for cell in board.cells
        if cell.status == "ok" and board.labels[cell.row] == board.reference
    }
    lacking = len(groups - having)
    untold = (
        f" (absent or incomplete in {lacking} of {len(groups)} task × learner × DPC families, "
        "where no star is given)"
        if lacking
        else ""
    )
    return f"Reference of the tests: {board.reference}{untold}."


def _plans(board: Leaderboard) -> str:
    """Say how many sets and seeds were planned, the most frequent plan first."""
    plans = Counter(cell.planned for cell in board.cells if cell.id.dpc != "0")
    plans = plans or Counter(cell.planned for cell in board.cells)
    texts = []
    for (sets, seeds), cells in sorted(plans.items(), key=lambda item: (-item[1], item[0])):
        size = f"{_count(sets, 'distilled set')} × {_count(seeds, 'training seed')}"
        texts.append(f"{size} ({_count(cells, 'cell')})" if len(plans) > 1 else f"{size} a cell")
    return ", ".join(texts)


def _metrics(board: Leaderboard) -> str:
    """Say the metric, and the tasks that have another one."""
    by_metric: dict[str, list[str]] = {}
    metrics = {cell.id.task: cell.metric for cell in reversed(board.cells)}
    for task in board.tasks:
        by_metric.setdefault(metrics[task], []).append(task)
    usual = max(by_metric, key=lambda name: len(by_metric[name]))
    odd = [f"{name} for {', '.join(t)}" for name, t in by_metric.items() if name != usual]
    return f"{usual} ({'; '.join(odd)})" if odd else usual


def _repeats(board: Leaderboard) -> list[str]:
    """Name the learners whose seeds change nothing."""
    alike: dict[str, bool] = {}
    for cell in board.cells:
        if max((len(of_set) for of_set in cell.scores), default=0) > 1:
            same = all(len(set(of_set)) == 1 for of_set in cell.scores)
            alike[cell.id.learner] = alike.get(cell.id.learner, True) and same
    names = ", ".join(name for name in board.learners if alike.get(name))
    if not names:
        return []
    return [
        f"{names}: the seed of a training changes nothing, so a set is trained on once and its "
        "score stands for all seeds."
    ]


def _sampling(board: Leaderboard) -> list[str]:
    """Say which methods' sets come from resampled pools, and which have one set only."""
    points = []
    budgeted = [cell for cell in board.cells if cell.id.dpc != "0" and cell.summary is not None]
    resampled: dict[str, dict[str, None]] = {}
    for cell in budgeted:
        how = str(cell.info.get("sampling", ""))
        if how.startswith("resampled"):
            resampled.setdefault(how.removeprefix("resampled").strip(), {})[
                board.labels[cell.row]
            ] = None
    for share, names in resampled.items():
        points.append(
            f"{', '.join(names)}: deterministic, so its sets are made from resampled pools "
            f"({f'{share} of the training rows' if share else 'a share of the training rows'}, "
            "stratified, without replacement)."
        )
    single = {board.labels[cell.row]: None for cell in budgeted if cell.planned[0] == 1}
    if single:
        points.append(
            f"{', '.join(single)}: cells with one set. It says nothing of how another set would "
            "do, however many seeds it has, so these have no interval, test or rank."
        )
    return points


def _infos(board: Leaderboard, name: str) -> list[str]:
    return sorted({str(cell.info[name]) for cell in board.cells if cell.info.get(name)})


def _recipes(board: Leaderboard, learner: str) -> list[str]:
    """Return the distinct recipes of a learner, the most frequent first."""
    found = Counter(
        ", ".join(f"{name}={value}" for name, value in sorted(recipe.items()))
        for cell in board.cells
        if cell.id.learner == learner and isinstance(recipe := cell.info.get("recipe"), Mapping)
    )
    return sorted((text for text in found if text), key=lambda text: (-found[text], text))


def _beyond_budget(board: Leaderboard) -> list[str]:
    """Say whose sets hold more rows than the DPC allows: such methods are compared all the same."""
    times: dict[RowKey, list[float]] = {}
    for cell in board.cells:
        rows, classes = cell.averages["set_rows"], cell.info.get("n_classes")
        if cell.id.dpc != "0" and classes and np.isfinite(rows):
            times.setdefault(cell.row, []).append(rows / (float(cell.id.dpc) * classes))
    return [
        f"{board.labels[row]}: a set holds {brief(middle)} times the rows that the DPC allows, "
        "and is compared with sets that keep to it."
        for row, ratios in times.items()
        if (middle := float(np.median(ratios))) > MORE_ROWS
    ]


def _less_empty_notes(table: Table) -> Table:
    """The table without its column of notes if there is none."""
    at = table.header.index("note")
    if any(row[at].text for row in table.rows):
        return table
    rows = tuple(row[:at] + row[at + 1 :] for row in table.rows)
    return replace(
        table, header=table.header[:at] + table.header[at + 1 :], rows=rows, left=table.left - 1
    )


def _note(board: Leaderboard, row: RowKey) -> str:
    infos = [cell.info for cell in board.cells if cell.row == row]
    return str(_first(infos, "method_note") or "")


def _parameters(row: RowKey) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(parse(row[1]).items()))


def _versions(environments: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return name -> the distinct values of all environments; nested objects are laid flat.

    Where some environments do not have a name, runs of an older version, that is a value too.
    """
    values: dict[str, dict[str, None]] = {}
    seen: list[set[str]] = []

    def collect(mapping: Mapping[str, Any], prefix: str) -> None:
        for name, value in sorted(mapping.items()):
            if isinstance(value, Mapping):
                collect(value, prefix if name == "versions" else f"{prefix}{name} ")
            elif value not in (None, "", []):
                values.setdefault(prefix + name, {})[str(value)] = None
                seen[-1].add(prefix + name)

    for environment in environments:
        seen.append(set())
        collect(environment, "")
    for name, found in values.items():
        if any(name not in names for names in seen):
            found["not recorded"] = None
    return {name: ", ".join(sorted(found)) for name, found in sorted(values.items())}


def _first(infos: list[Mapping[str, Any]], name: str) -> Any:
    return next((info[name] for info in infos if info.get(name) not in (None, "")), None)


def _whole(figure: Any) -> str:
    return brief(figure) if isinstance(figure, int | float) else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
