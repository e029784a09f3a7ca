"""Opening what a method names: the learner, and the language model of its projection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmark.core.assets import load_causal_lm
from benchmark.core.errors import InputError
from benchmark.core.pool import Pool
from methods.language_models.generator import device, load
from methods.language_models.pretraining import GENERATOR
from methods.readable.admm import Reading
from methods.readable.learners import ClassifierLearner, GradientLearner, PromptLearner
from methods.readable.projection import Projector
from methods.readable.room import LONGEST
from methods.readable.vocabulary import may_begin, words_of_classes, writable

if TYPE_CHECKING:
    from methods.gradmm import GradMM


def open_learner(method: GradMM, pool: Pool, seed: int) -> GradientLearner:
    """Load the learner.

    Raises `InputError` where it is not of the kind that the method needs, has no token for a label
    word, or reads no rows of the length that is asked for.
    """
    folder = pool.services.model(method.learner)
    try:
        learner = _loaded(method, folder, pool, seed)
    except InputError:
        raise
    except (OSError, ValueError, AttributeError) as error:
        kind = "encoder" if method.head == "classifier" else "causal language model"
        raise InputError(
            f"learner {method.learner!r} is no {kind} that can be read: "
            f"{str(error).splitlines()[0][:150]}"
        ) from error
    _check_length(method, pool, learner)
    return learner


def _loaded(method: GradMM, folder: Path, pool: Pool, seed: int) -> GradientLearner:
    if method.head == "classifier":
        return ClassifierLearner(folder, len(pool.classes), seed % 2**32)
    words = words_of_classes(pool.classes, method.words)
    return PromptLearner(folder, method.learner, words, method.prompt, method.vocabulary)


def _check_length(method: GradMM, pool: Pool, learner: GradientLearner) -> None:
    columns = len(pool.text_columns)
    around = max(
        sum(map(len, learner.pieces(label, columns))) for label in range(len(pool.classes))
    )
    most = min(
        getattr(learner.model.config, "max_position_embeddings", None) or LONGEST,
        learner.tokenizer.model_max_length,
    )
    wanted = columns * method.length + around
    if method.length and wanted > most:
        raise InputError(
            f"{method.name}: length is {method.length}, so that a row has {wanted} tokens with "
            f"what stands around its texts, and learner {method.learner!r} reads at most {most}"
        )


def open_projector(
    method: GradMM, pool: Pool, learner: GradientLearner, writer: Path | None
) -> tuple[Projector, list[Reading]]:
    """The projection, and what its language model reads around the texts of each class.

    `writer` is the part of a small language model of the pool, or None. Raises `InputError` where
    the language model does not have the learner's tokens, or would read nothing before a text.
    """
    model: Any
    if writer is not None:
        generator = load(writer / GENERATOR)
        model, s = generator.model.requires_grad_(False), generator.serialiser
        readings = [Reading([s.start(label)], [s.separator]) for label in range(s.n_classes)]
    else:
        assert isinstance(learner, PromptLearner)
        model = learner.model
        if method.writer:
            model = load_causal_lm(pool.services.model(method.writer), "float32").to(device())
        readings = _prompts(method, pool, learner)
    known = model.get_input_embeddings().weight.shape[0]
    if known < len(learner.table):
        raise InputError(
            f"writer {method.writer!r} has {known:,} tokens, learner {method.learner!r} "
            f"{len(learner.table):,}: they must share a vocabulary"
        )
    ids = writable(learner.tokenizer, len(learner.table))
    allowed, first = torch.from_numpy(ids), torch.from_numpy(may_begin(learner.tokenizer, ids))
    projector = Projector(model, learner.table, allowed, method.top_k, method.order, first)
    return projector, readings


def _prompts(method: GradMM, pool: Pool, learner: PromptLearner) -> list[Reading]:
    start, *between = learner.pieces(0, len(pool.text_columns))
    readings = []
    for word in words_of_classes(pool.classes, method.words):
        text = method.prefix.replace("{label}", word)
        ids = learner.tokenizer(text, add_special_tokens=False)["input_ids"]
        before = [*start, *map(int, ids)]
        if not before:
            raise InputError(f"{method.name}: the writer needs a prefix, and it is empty")
        readings.append(Reading(before, between[0] if len(between) > 1 else []))
    return readings
