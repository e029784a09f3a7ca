"""What an optimisation leaves behind, in one safetensors file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.core.journal import Journal
from benchmark.core.states import SECONDS
from methods.bilevel.learnable import Learnable

FILE = "result.safetensors"


@dataclass(frozen=True)
class Result:
    """The learned numbers, as learners read them.

    `embeddings` (n, length, d), `classes` (n,) the class that each row stands for, `labels` (n, C)
    target vectors, `rates` (T,), `order` the rows of each step, `attention` labels or None.
    """

    embeddings: np.ndarray
    classes: np.ndarray
    labels: np.ndarray
    rates: np.ndarray
    order: tuple[tuple[int, ...], ...]
    attention: np.ndarray | None
    notes: Mapping[str, float]

    @classmethod
    def load(cls, folder: Path) -> Result:
        """Read what `save` wrote, and the journal's findings."""
        from safetensors import safe_open

        with safe_open(folder / FILE, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            order = json.loads(file.metadata()["order"])
        journal = Journal(folder)
        found = {k: v for k, v in journal.findings().items() if isinstance(v, int | float)}
        return cls(
            arrays["embeddings"], arrays["classes"], arrays["labels"], arrays["rates"],
            tuple(tuple(rows) for rows in order), arrays.get("attention"),
            {**found, SECONDS: sum(journal.phases().values())},
        )  # fmt: skip


def save(learnable: Learnable, folder: Path) -> None:
    """Write the learned numbers, atomically."""
    from safetensors.numpy import save_file

    arrays = {
        "embeddings": learnable.embeddings,
        "labels": learnable.labels(),
        "rates": learnable.rates(),
    }
    attention = learnable.attention()
    if attention is not None:
        arrays["attention"] = attention
    body = {name: t.detach().cpu().contiguous().numpy() for name, t in arrays.items()}
    body["classes"] = learnable.layout.labels
    temporary = folder / f".{FILE}.new"
    save_file(body, temporary, {"order": json.dumps(learnable.layout.order)})
    os.replace(temporary, folder / FILE)
