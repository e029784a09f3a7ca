"""From the store's tables to the rows frame that leaderboards are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pandas as pd

from benchmark.core.keys import canonical_json
from benchmark.core.states import NOTE
from benchmark.schema import CELL
from benchmark.store import Store

METRICS = (
    "accuracy", "macro_f1", "f1", "matthews", "accuracy_f1", "low_overlap", "high_overlap",
    "tpr_gap", "worst_group",
)  # fmt: skip
FACTS = {
    "distil_seconds": "distil_seconds",
    "set_rows": "rows",
    "set_words": "words",
    "set_bytes": "bytes",
    "set_floats": "floats",
    "set_tokens": "tokens",
    "distinct_1": "distinct_1",
    "distinct_2": "distinct_2",
    "label_agreement": "label_agreement",
    "copies": "copies",
    "overlap_train": "overlap_train",
    "overlap_test": "overlap_test",
    **{name: f"{NOTE}{name}" for name in ("epsilon", "delta", "lm_tokens")},
}
PREPARATION = ("prepare_seconds", "phase_", "found_")
PERPLEXITY = "perplexity "
"""How a set's fact begins; the name of the model that read it follows. A set has one at most."""

COSTS = ("train_seconds", "predict_seconds", "peak_memory_mb")


def rows_frame(store: Store, suite: str) -> pd.DataFrame:
    """Return all rows of a suite, one line each, in the columns of `leaderboards.rows`.

    A cell without rows (it could not be run) is one line with indices -1.
    """
    cell = ", ".join(f"c.{name}" for name in CELL)
    join = " AND ".join(f"r.{name} = c.{name}" for name in CELL)
    found = store.database.execute(
        f"SELECT {cell}, c.n_sets, c.n_seeds, c.metric, c.reason, c.structural, c.info,"
        " r.set_index, r.seed_index, r.status, r.reason, r.set_key, r.run_key,"
        " s.set_hash, s.facts, u.scores, u.costs, u.created, e.body"
        f" FROM cells c LEFT JOIN rows r ON {join}"
        " LEFT JOIN sets s ON s.set_key = r.set_key LEFT JOIN runs u ON u.run_key = r.run_key"
        " LEFT JOIN environments e ON e.environment = u.environment WHERE c.suite = ?",
        (suite,),
    )
    return pd.DataFrame([_line(row) for row in found])


def _line(row: tuple) -> dict[str, Any]:
    n_sets, n_seeds, metric, why, structural, info = row[6:12]
    set_index, seed_index, status, reason, set_key, run_key = row[12:18]
    set_hash, facts, scores, costs, created, environment = row[18:24]
    line: dict[str, Any] = dict(zip(CELL, row[:6], strict=True))
    attempted = set_index is not None and not why
    found_scores, found_costs, found_facts = _parse(scores), _parse(costs), _parse(facts)
    body = _parse(environment)
    line |= {
        "set_index": set_index if attempted else -1,
        "seed_index": seed_index if attempted else -1,
        "status": status if attempted else "skipped",
        "reason": reason if attempted else why or "not attempted yet",
        "metric": metric,
        "score": found_scores.get(metric),
        "set_key": set_key or "",
        "set_hash": set_hash or "",
        "run_key": run_key or "",
        "planned_sets": n_sets,
        "planned_seeds": n_seeds,
        "structural": bool(structural),
        "device": body.get("device", ""),
        "environment": environment or "",
        "created": created,
        "info": info,
    }
    line |= {name: found_scores.get(name) for name in METRICS}
    line |= {name: found_costs.get(name) for name in COSTS}
    line |= {name: found_facts.get(key) for name, key in FACTS.items()}
    read = next((k for k in found_facts if k.startswith(PERPLEXITY)), PERPLEXITY)
    line |= {"perplexity": found_facts.get(read), "perplexity_model": read[len(PERPLEXITY) :]}
    prepared = {k: v for k, v in found_facts.items() if k.startswith(PREPARATION)}
    line["preparation"] = canonical_json(prepared) if prepared else ""
    return line


@lru_cache(maxsize=65_536)
def _parse(text: str | None) -> Mapping[str, Any]:
    return json.loads(text) if text else {}
