"""Corrections of all centroids together against one centroid after the other, in one run."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmark.core.seeding import numpy_generator
from benchmark.testing import toy_pool
from methods.inversion.correction import Inversion
from methods.inversion.inverter import new_inverter
from methods.inversion.training import embedder

pytestmark = pytest.mark.performance

FLOOR, ROUNDS, CENTROIDS, CORRECTIONS = 3.0, 3, 40, 3


def test_corrections_together_against_one_by_one(capsys):
    pool = toy_pool(2)
    inverter = new_inverter("tiny", pool, pool.embed("minilm"), 32, seed=0)
    inverter.zero.eval()
    inverter.corrector.eval()
    inversion = Inversion(inverter, embedder(pool, "minilm"))
    targets = numpy_generator(0).standard_normal((CENTROIDS, 16)).astype(np.float32)
    times: dict[str, list[float]] = {"together": [], "apart": []}
    for _ in range(ROUNDS):
        started = time.perf_counter()
        together = inversion.invert(targets, CORRECTIONS)
        middle = time.perf_counter()
        apart = [inversion.invert(target[None], CORRECTIONS)[0] for target in targets]
        times["together"].append(middle - started)
        times["apart"].append(time.perf_counter() - middle)
    ratio = np.median(times["apart"]) / np.median(times["together"])
    with capsys.disabled():
        print(
            f"\n{CENTROIDS} centroids, {CORRECTIONS} corrections: "
            f"{np.median(times['together']):.2f} s together, {np.median(times['apart']):.2f} s "
            f"one by one: {ratio:.1f} times"
        )
    same = [a.texts == b.texts for a, b in zip(together, apart, strict=True)]
    assert np.mean(same) > 0.9  # rounding may decide between two tokens
    assert ratio >= FLOOR
