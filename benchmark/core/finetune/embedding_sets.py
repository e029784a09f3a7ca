"""Training a classifier on an embedding-level set: by its native recipe, or by a common one."""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import InputError
from benchmark.core.finetune.batches import training_batches
from benchmark.core.finetune.embedded import EmbeddedClassifier, Weights
from benchmark.core.finetune.engine import PaddedEngine
from benchmark.core.finetune.engines import engine_for
from benchmark.core.finetune.losses import Losses
from benchmark.core.finetune.pretrained import Pretrained
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.tokens import Ragged
from benchmark.core.finetune.training import DivergedError, Trained
from benchmark.core.native import EMBEDDINGS, NativeRecipe
from benchmark.core.native_steps import rows_of, take_native_steps
from benchmark.core.seeding import isolated_torch_rng, numpy_generator, seed_of


def train_on_embeddings(
    pretrained: Pretrained,
    engine: str,
    recipe: Recipe,
    distilled: DistilledSet,
    texts: Ragged,
    seed: int,
    *,
    native: bool,
) -> Trained:
    """Train from the pretrained weights with a head drawn from `seed`, then predict `texts`.

    Parameters
    ----------
    engine : which engine predicts (`engine_for`).
    recipe : the common recipe, used where `native` is false.

    Raises `DivergedError` when a loss or a logit is not finite, `InputError` when the set's
    embeddings are not as wide as the model's.
    """
    started = time.perf_counter()
    classifier = EmbeddedClassifier(pretrained.model)
    width = distilled.arrays[EMBEDDINGS].shape[2]
    if width != classifier.width:
        raise InputError(f"embeddings of {width} numbers for a model of {classifier.width}")
    train = native_steps if native else _common_steps
    weights, last_loss = train(pretrained, classifier, recipe, distilled, seed)
    trained = time.perf_counter()
    predictor = engine_for(pretrained, engine)
    with isolated_torch_rng(0):
        predictor.begin(recipe, texts.take(np.arange(1)))
    predictor.restore(classifier.whole(weights))
    logits = predictor.predict(texts)
    if not np.isfinite(logits).all():
        raise DivergedError("the trained model gives logits that are not finite")
    return Trained(logits, trained - started, time.perf_counter() - trained, last_loss)


def native_steps(
    pretrained: Pretrained,
    classifier: EmbeddedClassifier,
    recipe: Recipe,
    distilled: DistilledSet,
    seed: int,
) -> tuple[Weights, float]:
    """Take the set's own steps from a head drawn from `seed`; `recipe` is not read."""
    fixed = NativeRecipe.of(distilled).start_seed
    with isolated_torch_rng(seed if fixed is None else fixed):
        pretrained.reset()
    classifier.model.eval()
    return take_native_steps(classifier.start(), distilled, classifier.loss)


def _common_steps(
    pretrained: Pretrained,
    classifier: EmbeddedClassifier,
    recipe: Recipe,
    distilled: DistilledSet,
    seed: int,
) -> tuple[Weights, float]:
    """Train as on texts, the embeddings standing in for words; of the set only labels are kept.

    Learning rates, order and attention labels are no part of a common recipe.
    """
    engine = engine_for(pretrained, "padded")
    assert isinstance(engine, PaddedEngine)
    order = numpy_generator(seed_of("batch-order", seed=seed))
    losses = Losses(1, recipe.steps)
    rows = rows_of(distilled, engine.device)
    with isolated_torch_rng(seed):
        engine.begin(recipe, None)
        size = recipe.rows_per_step(len(distilled))
        for step, at in enumerate(training_batches(len(distilled), size, recipe.steps, order)):
            embeddings, targets = rows.embeddings[at], rows.targets[at]

            def loss(embeddings=embeddings, targets=targets) -> torch.Tensor:
                logits = engine.model(inputs_embeds=embeddings).logits.float()
                return -(targets * logits.log_softmax(1)).sum(1).mean()

            if not losses.add(engine.update(loss, recipe.rate(step))):
                break
    fault = losses.fault(0)
    if fault:
        raise DivergedError(fault)
    return classifier.start(), losses.values[0]
