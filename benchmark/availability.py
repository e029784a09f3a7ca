"""What can be had on this machine: a task's data, and the models behind encoders and learners."""

from __future__ import annotations

from dataclasses import replace

from benchmark.cells import Cell, TaskFacts
from benchmark.core.effort import words_of
from benchmark.core.endpoint import require_address
from benchmark.core.errors import UnavailableError
from benchmark.core.learner import Learner
from benchmark.core.library import Library
from benchmark.core.method import Method
from benchmark.core.task import Task

CHAT = "/chat/completions"


def task_facts(library: Library, name: str) -> tuple[TaskFacts | None, str]:
    """Read what planning needs of a task; returns (None, reason) when its data cannot be had."""
    try:
        data = library.task(name)
    except UnavailableError as error:
        return None, str(error)
    facts = replace(
        TaskFacts.of(data),
        pool_texts=data.pool.texts_fingerprint,
        test_texts=data.test.texts_fingerprint,
        pool_words=words_of(data.pool.texts()),
        test_words=words_of(data.test.columns),
    )
    return facts, ""


def missing_for(library: Library, method: Method, learner: Learner) -> str:
    """Say which encoder or model cannot be had, if any; "" if all is there.

    The first one ends the search, but where a plan looks at all that there is to fetch.
    """
    encoders = dict.fromkeys((*method.encoders, *learner.encoders))
    models = dict.fromkeys((*method.models, *learner.models))
    reasons = []
    for require, names in ((library.require_encoder, encoders), (library.model_folder, models)):
        for name in names:
            try:
                require(name)
            except UnavailableError as error:
                reasons.append(str(error))
                if not library.config.look:
                    return reasons[0]
    if why := method.lacks():
        reasons.append(why)
    if method.endpoint:
        try:
            who, offline = f"method {method.name}", library.config.offline
            require_address(who, method.endpoint, CHAT, offline)
        except UnavailableError as error:
            reasons.append(str(error))
    return reasons[0] if reasons else ""


def structural_mismatch(method: Method, learner: Learner, task: Task) -> str:
    """Say why the learner cannot use such sets at all, "" if it can.

    Input embeddings are for the model whose word table they stand in for.
    """
    usable = method.level in learner.levels
    if method.level == "embedding":
        usable = learner.reads_embeddings_for(method.embeds_for)
    if not usable:
        return f"{method.level}-level set"
    if method.reads_groups and task.group is None:
        return "a task without groups"
    return "single texts, no pairs" if learner.pairs_only and not task.is_pair else ""


def with_models(library: Library, cell: Cell) -> Cell:
    return replace(
        cell,
        set_encoders={name: library.encoder_fingerprint(name) for name in cell.method.encoders},
        set_models={name: library.model_fingerprint(name) for name in cell.method.models},
        set_folders={name: library.model_folder(name) for name in cell.method.models},
        run_models={
            **{name: library.model_fingerprint(name) for name in cell.learner.models},
            **{name: library.encoder_fingerprint(name) for name in cell.learner.encoders},
        },
    )
