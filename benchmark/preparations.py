"""Prepared states of a store, as MLflow is told of them: one run for each state and suite."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.core.journal import Journal
from benchmark.core.keys import canonical_json
from benchmark.core.state_digest import DESCRIPTION
from benchmark.core.states import PARTIAL, preparation_facts
from benchmark.store import Store


@dataclass(frozen=True)
class Preparation:
    """What a method learned once for a task: parameters, curves by step, seconds and findings."""

    suite: str
    key: str
    task: str
    method: str
    params: Mapping[str, Any]
    curves: Mapping[str, Mapping[int, float]]
    facts: Mapping[str, float]


def unsent_preparations(store: Store, uri: str) -> Iterator[Preparation]:
    """Yield the finished states that rows of a suite use and that MLflow does not have yet."""
    for folder in sorted((store.root / "states").glob("*")):
        description = folder / DESCRIPTION
        if folder.name.startswith(".") or folder.name.endswith(PARTIAL):
            continue
        if not description.is_file():
            continue
        try:
            described = json.loads(description.read_text())
        except ValueError:
            continue  # it is written again when the state is used next
        if "method" not in described:
            continue  # a part: its notes are in the states that were made from it
        journal = Journal(folder)
        found = store.database.execute(
            "SELECT DISTINCT r.suite FROM rows r LEFT JOIN mirror m ON m.suite = r.suite"
            " AND m.kind = 'state' AND m.key = ? AND m.uri = ?"
            " WHERE r.task = ? AND r.method = ? AND r.params = ? AND m.key IS NULL",
            (
                folder.name, uri, described["task"], described["method"],
                canonical_json(described["params"]),
            ),
        ).fetchall()  # fmt: skip
        for (suite,) in found:
            yield Preparation(
                suite,
                folder.name,
                described["task"],
                described["method"],
                described["params"],
                journal.curves(),
                preparation_facts(folder),
            )
