"""Networks trained by the native recipe of an embedding-level set."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.errors import InputError
from benchmark.core.finetune.training import DivergedError
from benchmark.core.learner import Outcome, Run, TestTexts
from benchmark.core.native import EMBEDDINGS, NativeRecipe
from benchmark.core.native_steps import take_native_steps
from benchmark.core.wordnets.embedded import EmbeddedNetwork

if TYPE_CHECKING:
    from benchmark.core.finetune.embedded import Weights
    from evaluators.wordnets.learner import WordNetwork


def native_outcomes(
    learner: WordNetwork, runs: Sequence[Run], test: TestTexts, folder: Path
) -> Iterator[Outcome]:
    """Train each run by its set's own steps and predict.

    A set that was made for one fixed start is given that start, whatever the run's seed.
    """
    texts = learner.test_words(test, folder)
    for run in runs:
        begun = time.perf_counter()
        try:
            weights, network, loss = _train(learner, run, texts.table.shape[1])
        except DivergedError as error:
            yield Outcome(None, time.perf_counter() - begun, error=f"DivergedError: {error}")
            continue
        trained = time.perf_counter()
        logits = network.predict(weights, texts)
        done = time.perf_counter()
        yield Outcome(logits, trained - begun, done - trained, extra={"last_loss": loss})


def _train(learner: WordNetwork, run: Run, width: int) -> tuple[Weights, EmbeddedNetwork, float]:
    made = run.distilled
    if made.arrays[EMBEDDINGS].shape[2] != width:
        raise InputError(
            f"embeddings of {made.arrays[EMBEDDINGS].shape[2]} numbers for vectors of {width}"
        )
    network = EmbeddedNetwork(learner.network(), width, len(made.classes))
    fixed = NativeRecipe.of(made).start_seed
    start = network.start(run.seed if fixed is None else fixed)
    weights, loss = take_native_steps(start, made, lambda w, rows, _: network.loss(w, rows))
    return weights, network, loss
