"""The base of the learners: group the runs of a cell, train and evaluate each group."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.effort import LOADING, Effort
from benchmark.core.learner import Learner, Outcome, Run, TestTexts
from benchmark.core.native import EMBEDDINGS
from benchmark.core.parameters import require_positive
from evaluators.learning_rates import NOT_HELD_OUT, with_picked_rates

if TYPE_CHECKING:
    from benchmark.core.wordnets.networks import Network
    from benchmark.core.words import Texts, WordVectors
    from evaluators.wordnets.training import Examples, Recipe

MOST_RUNS = 32
MEMORY = 128 * 2**20  # bytes of weights, activations and logits that a group may take


@dataclass(frozen=True)
class WordNetwork(Learner):
    """A network on frozen word vectors, trained as DaLLME says (its appendices A and B.1)."""

    threaded = True
    levels = ("text", "embedding")

    model: str = "glove-50d"
    epochs: int = 20
    learning_rate: float = 1e-3
    batch_size: int = 8
    dropout: float = 0.5
    weight_decay: float = 0.01
    max_length: int = 128
    native: bool = True
    rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be in [0, 1)")
        require_positive(self, "learning_rate", "rates")

    def params(self) -> dict[str, Any]:
        """Return the recipe's numbers; `native` only where it is set aside, `rates` if it picks.

        So the keys of what was trained before there were such parameters are still those of today.
        """
        params = super().params()
        if self.native:
            del params["native"]
        if not self.rates:
            del params["rates"]
        return params

    def refuses(self, distilled: DistilledSet) -> str | None:
        made_for = (distilled.recipe or {}).get("model")
        if distilled.level == "embedding" and made_for != self.model:
            return f"embedding-level set for {made_for}"
        if self.rates and distilled.level == "embedding" and not self.native:
            return NOT_HELD_OUT
        return super().refuses(distilled)

    @abstractmethod
    def network(self) -> Network:
        """Return what makes features of word vectors."""

    def effort(self, rows: np.ndarray, test: np.ndarray, n_classes: int) -> Effort:
        """Words read in all epochs, and the cost of a step, which is that of some words."""
        ours, theirs = (np.minimum(words, self.max_length) for words in (rows, test))
        steps = -(-len(rows) // self.batch_size)
        train = self.epochs * (100.0 * steps + 3 * ours.sum())
        return Effort(train, 1000.0 + theirs.sum(), LOADING + test.sum())

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        """Train side by side runs whose sets have equally many rows; those of a set if it picks."""
        from benchmark.core.words import held

        if self.rates:
            yield from with_picked_rates(self, runs, test, models)
            return
        refused = [self.refuses(run.distilled) for run in runs]
        if any(refused):
            yield from (
                Outcome(None, error=why or "beside a set that is refused") for why in refused
            )
            return
        if self.native and any(run.distilled.level == "embedding" for run in runs):
            from evaluators.wordnets.native import native_outcomes

            yield from native_outcomes(self, runs, test, Path(models[self.model]))
            return
        vectors = held(Path(models[self.model]))
        texts = self._test_texts(test, Path(models[self.model]), vectors)
        done: dict[int, Outcome] = {}
        for i, run in enumerate(runs):
            if i not in done:
                alike = [
                    j
                    for j in range(i, len(runs))
                    if j not in done and len(runs[j].distilled) == len(run.distilled)
                ]
                group = alike[: self._runs_at_once(len(run.distilled), texts, len(test.classes))]
                outcomes = self._outcomes([runs[j] for j in group], test, vectors, texts)
                done.update(zip(group, outcomes, strict=True))
            yield done.pop(i)

    def _outcomes(
        self, runs: Sequence[Run], test: TestTexts, vectors: WordVectors, texts: Texts
    ) -> Iterator[Outcome]:
        from evaluators.wordnets.training import predict, train

        network = self.network()
        started = time.perf_counter()
        trained = train(network, self._recipe(), self._examples(runs, test, vectors, network))
        sound = np.flatnonzero(trained.broken == 0)
        at = time.perf_counter()
        logits = predict(network, trained.stack, sound.tolist(), texts)
        predict_seconds = (time.perf_counter() - at) / max(1, len(sound))
        place = {int(run): i for i, run in enumerate(sound)}
        for r in range(len(runs)):
            seconds = (at - started) / len(runs)
            if r not in place:
                steps = self._recipe().steps(len(runs[r].distilled))
                error = f"the loss left the finite numbers at step {trained.broken[r]} of {steps}"
            elif not np.isfinite(logits[place[r]]).all():
                error = "the trained network gives logits that are not finite"
            else:
                extra = {"last_loss": float(trained.losses[r])}
                yield Outcome(logits[place[r]], seconds, predict_seconds, extra=extra)
                continue
            yield Outcome(None, seconds, error=error)

    def _recipe(self) -> Recipe:
        from evaluators.wordnets.training import Recipe

        return Recipe(
            self.epochs, self.learning_rate, self.batch_size, self.weight_decay, self.dropout
        )

    def _examples(
        self, runs: Sequence[Run], test: TestTexts, vectors: WordVectors, network: Network
    ) -> list[Examples]:
        import torch

        from benchmark.core.words import Texts
        from evaluators.wordnets.training import Examples

        read: dict[str, Texts] = {}
        examples = []
        for run in runs:
            key = run.distilled.content_hash
            if key not in read and run.distilled.level == "embedding":
                read[key] = Texts.of_vectors(run.distilled.arrays[EMBEDDINGS])
            if key not in read:
                columns = {name: (run.distilled.columns or {})[name] for name in test.columns}
                read[key] = vectors.read(columns, self.max_length)
            labels = run.distilled.labels
            if not run.distilled.is_soft:
                labels = np.eye(len(test.classes), dtype=np.float32)[labels]
            targets = torch.from_numpy(np.array(labels))
            examples.append(Examples(read[key], targets, run.seed, network.shortest))
        return examples

    def test_words(self, test: TestTexts, folder: Path) -> Texts:
        """The test split's words, read once per task."""
        from benchmark.core.words import held

        return self._test_texts(test, folder, held(folder))

    def _test_texts(self, test: TestTexts, folder: Path, vectors: WordVectors) -> Texts:
        key = ("words", str(folder), self.max_length)
        if key not in test.scratch:
            test.scratch[key] = vectors.read(test.columns, self.max_length)
        return test.scratch[key]

    def _runs_at_once(self, n_rows: int, texts: Texts, classes: int) -> int:
        network = self.network()
        shapes = network.shapes(texts.table.shape[1]).values()
        weights = sum(int(np.prod(shape.size)) for shape in shapes)
        positions = min(n_rows, self.batch_size) * self.max_length
        floats = 4 * weights + network.kept(positions) + 2 * len(texts) * classes
        return int(np.clip(MEMORY // (4 * floats), 1, MOST_RUNS))
