"""The runs of a cell: which of them train together, and what happens where that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmark.core.finetune.engine import Engine
from benchmark.core.finetune.packed import PackedEngine
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.side_by_side import free_memory, runs_side_by_side
from benchmark.core.finetune.stacked_training import train_and_predict_group
from benchmark.core.finetune.tokens import Ragged
from benchmark.core.finetune.training import Member, Trained, train_and_predict

AHEAD = 4  # how many groups ahead a group looks for runs that are like its first
PADDING = 1.1  # how many times the tokens of a group's smallest run its largest may have


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
    side_by_side : size of a group; 0 chooses it (`runs_side_by_side`). It changes rounding only.
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
            group = _alike(waiting[: AHEAD * size], members)[:size]
            results = _train(trainer, of_set, [members[j] for j in group], texts)
            done.update(zip(group, results, strict=True))
        yield done.pop(i)


def _size(engine: Engine, recipe: Recipe, examples: Ragged) -> int:
    if not isinstance(engine, PackedEngine):
        return 1
    rows = recipe.rows_per_step(len(examples))
    tokens = max(1, round(rows * examples.lengths.mean()))
    return runs_side_by_side(engine.n_weights, tokens, engine.device, free_memory(engine.device))


def _alike(waiting: Sequence[int], members: Sequence[Member]) -> list[int]:
    """The first of the waiting runs and those that can train beside it, the nearest first.

    Seeds of one set have equally many tokens and need no padding.
    """
    first = members[waiting[0]]
    n_tokens = len(first.examples.ids)
    alike = [
        j
        for j in waiting
        if len(members[j].examples) == len(first.examples)
        and n_tokens <= PADDING * len(members[j].examples.ids)
        and len(members[j].examples.ids) <= PADDING * n_tokens
    ]
    return sorted(alike, key=lambda j: abs(len(members[j].examples.ids) - n_tokens))


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
