"""Synthetic rows: planted means, a set effect and a seed effect, everything else plausible."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

FULL = "full"
SAMPLING = {"herding": "resampled 80%", FULL: "one set"}
DAY = 1_760_000_000.0


def synthetic_rows(
    tasks: Sequence[str] = ("sst2", "mrpc", "cola"),
    methods: Mapping[str, float] | None = None,
    learners: Sequence[str] = ("tfidf-lr", "probe"),
    dpcs: Sequence[str] = ("5", "10", "20"),
    sets: int = 20,
    seeds: int = 5,
    spread: float = 0.02,
    suite: str = "toy",
    full: bool = True,
    params: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Return rows in which a method's score is 0.6 + its value here, more with a higher DPC."""
    methods = {"random": -0.05, "k-centers": 0.0, "herding": 0.0} if methods is None else methods
    params = params or {}
    rng = np.random.default_rng(0)
    frames = []
    for t, task in enumerate(tasks):
        base = 0.6 + 0.02 * (t % 7)
        for k, learner in enumerate(learners):
            plans = [(m, d, sets, seeds) for m in methods for d in dpcs]
            plans += [(FULL, "0", 1, seeds)] if full else []
            for method, dpc, n_sets, n_seeds in plans:
                lift = 0.25 if method == FULL else methods[method] + 0.01 * np.log2(float(dpc))
                noise = rng.normal(size=(n_sets, 1)) + 0.5 * rng.normal(size=(n_sets, n_seeds))
                score = np.clip(base + 0.01 * k + lift + spread * noise, 0, 1).ravel()
                info = {
                    "n_classes": 2, "train_rows": 5000 + t, "test_rows": 800, "task_order": t,
                    "method_order": [*methods, FULL].index(method), "learner_order": k,
                    "sampling": SAMPLING.get(method, "independent"), "protocol": "standard",
                    "encoder": "minilm", "recipe": {"C": 1.0}, "submitted": False,
                }  # fmt: skip
                set_index = np.repeat(np.arange(n_sets), n_seeds)
                seed_index = np.tile(np.arange(n_seeds), n_sets)
                rows = 5000 + t if method == FULL else 2 * int(float(dpc))
                name = f"{task}/{method}/{dpc}/"
                frames.append(
                    pd.DataFrame(
                        {
                            "suite": suite, "task": task, "method": method,
                            "params": params.get(method, "{}"), "dpc": dpc, "learner": learner,
                            "set_index": set_index, "seed_index": seed_index,
                            "status": "ok", "reason": "", "metric": "accuracy", "score": score,
                            "accuracy": score, "macro_f1": score - 0.01, "f1": np.nan,
                            "matthews": np.nan, "accuracy_f1": np.nan,
                            "set_key": [f"{name}{i}" for i in set_index],
                            "set_hash": [digest(f"{name}{i}") for i in set_index],
                            "run_key": [
                                digest(f"{name}{learner}{i}-{j}")
                                for i, j in zip(set_index, seed_index, strict=True)
                            ],
                            "planned_sets": n_sets, "planned_seeds": n_seeds, "structural": False,
                            "distil_seconds": 0.0 if method == "random" else 1.25,
                            "train_seconds": 0.02 + 0.01 * k, "predict_seconds": 0.004,
                            "peak_memory_mb": 310.0, "device": "cpu", "set_rows": float(rows),
                            "set_words": 12.0 * rows, "set_bytes": 64.0 * rows,
                            "set_floats": np.nan, "copies": 1.0, "overlap_train": 0.6,
                            "overlap_test": 0.01,
                            "environment": json.dumps({"versions": {"python": "3.11"}}),
                            "created": DAY + 60.0 * set_index, "info": json.dumps(info),
                        }
                    )
                )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def as_placeholder(
    frame: pd.DataFrame, cells: pd.Series, reason: str, structural: bool = False
) -> pd.DataFrame:
    """Return the rows with each of the chosen cells as one line that says why it was not run."""
    keys = ["suite", "task", "method", "params", "dpc", "learner"]
    lines = frame[cells].drop_duplicates(keys).copy()
    lines[["set_index", "seed_index"]] = -1
    lines["status"], lines["reason"], lines["structural"] = "skipped", reason, structural
    lines[["set_key", "set_hash", "run_key", "device", "environment"]] = ""
    numbers = [n for n in frame.select_dtypes("float")]
    lines[numbers] = np.nan
    return pd.concat([frame[~cells], lines], ignore_index=True)


def set_status(
    frame: pd.DataFrame, rows: pd.Series, status: str, reason: str = "boom"
) -> pd.DataFrame:
    """Return the rows with some of them failed or skipped."""
    frame = frame.copy()
    frame.loc[rows, "status"] = status
    frame.loc[rows, "reason"] = reason
    frame.loc[rows, "score"] = np.nan
    return frame


@pytest.fixture
def make_rows() -> Callable[..., pd.DataFrame]:
    return synthetic_rows


@pytest.fixture
def placeholder() -> Callable[..., pd.DataFrame]:
    return as_placeholder


@pytest.fixture
def mark() -> Callable[..., pd.DataFrame]:
    return set_status


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    """Three tasks, three methods, full, two learners, three DPC, 20 x 5."""
    return synthetic_rows()
