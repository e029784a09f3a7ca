"""The runs of a cell: which of them train together, and what happens where that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmark.core.finetune.engine import Engine
from benchmark.core.finetune.packed import PackedEngine
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.side_by_side import free_memory, runs_side_by_side
from benchmark.core.finetune.stacked_training import train_and_predict_group
from benchmark.core.finetune.tokens import Ragged
from benchmark.core.finetune.training import Member, Trained, train_and_predict

AHEAD = 4  # how many groups ahead a group looks for runs that are like its first


def train_cell(
    engine: Callable[[], Engine],
    recipe: Callable[[int], Recipe],
    members: Sequence[Member],
    texts: Ragged,
    side_by_side: int = 0,
) -> Iterator[Trained | RuntimeError]:
    """Train each run and predict; yield its logits or its error, in order.

    Parameters
    ----------
    engine : gives the engine; asked before every group, as another cell may have used the model
        since the last result was taken.
    recipe : gives the recipe for a number of rows.
    side_by_side : size of a group; 0 chooses it (`runs_side_by_side`). It changes no result: only
        runs of one shape stand side by side, so that each sums in the order that it would alone.
    """
    done: dict[int, Trained | RuntimeError] = {}
    for i, member in enumerate(members):
        if i not in done:
            trainer = engine()
            of_set = recipe(len(member.examples))
            size = side_by_side or _size(trainer, of_set, member.examples)
            if not (isinstance(trainer, PackedEngine) and trainer.stacks):
                size = 1
            waiting = [j for j in range(i, len(members)) if j not in done]
            group = _alike(waiting[: AHEAD * size], members, of_set)[:size]
            results = _train(trainer, of_set, [members[j] for j in group], texts)
            done.update(zip(group, results, strict=True))
        yield done.pop(i)


def _size(engine: Engine, recipe: Recipe, examples: Ragged) -> int:
    if not isinstance(engine, PackedEngine):
        return 1
    rows = recipe.rows_per_step(len(examples))
    tokens = max(1, round(rows * examples.lengths.mean()))
    return runs_side_by_side(engine.n_weights, tokens, engine.device, free_memory(engine.device))


def _alike(waiting: Sequence[int], members: Sequence[Member], recipe: Recipe) -> list[int]:
    """The first of the waiting runs and those that can train beside it: the seeds of its set.

    A run beside one with more tokens is padded, and a batch of other rows is cut up otherwise;
    either changes the order of sums. So rows are as long, run by run, and a step takes them all.
    """
    first = members[waiting[0]].examples
    if recipe.rows_per_step(len(first)) < len(first):
        return [waiting[0]]
    lengths = np.sort(first.lengths)
    return [j for j in waiting if np.array_equal(np.sort(members[j].examples.lengths), lengths)]


def _train(
    engine: Engine, recipe: Recipe, members: Sequence[Member], texts: Ragged
) -> list[Trained | RuntimeError]:
    """Train a group; one after another where there is no memory for it."""
    if len(members) > 1:
        assert isinstance(engine, PackedEngine)
        try:
            return train_and_predict_group(engine, recipe, members, texts)
        except RuntimeError:  # out of memory, or a fault that each run will name for itself
            pass
    results: list[Trained | RuntimeError] = []
    for member in members:
        try:
            results.append(
                train_and_predict(
                    engine, recipe, member.examples, member.labels, texts, member.seed
                )
            )
        except RuntimeError as error:  # diverged or out of memory: this run fails alone
            results.append(error)
    return results
