"""Rewards of rows: how typical of its class a row is, and whether it says something new.

A row's representativeness is the confidence in its class of a classifier that was trained little on
real rows; its coverage is that confidence less the one of a classifier trained on what is condensed
so far (Shen et al., 2025).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.core.pool import Pool
from benchmark.core.states import shared_part

if TYPE_CHECKING:
    from benchmark.core.finetune.recipe import Recipe

Columns = Mapping[str, Sequence[str]]
BLOCK = 50_000
"""Rows of the pool that are classified at once."""
Classify = Callable[[Any], np.ndarray]
"""From what `Rewards.read` made of n texts to class probabilities (n, C)."""


class Rewards(ABC):
    """Two kinds of classifier, and how they read texts."""

    pool: Pool

    @abstractmethod
    def read(self, columns: Columns) -> Any:
        """Make texts ready to be classified."""

    @abstractmethod
    def read_pool(self, rows: np.ndarray) -> Any:
        """The same of rows of the pool."""

    @abstractmethod
    def little_trained(self) -> Classify:
        """The classifier of real rows."""

    def pool_chances(self) -> np.ndarray:
        """What it says of all rows of the pool, shape (n, C); no round of writing changes it."""
        classify, n = self.little_trained(), len(self.pool)
        blocks = [np.arange(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
        return np.concatenate([classify(self.read_pool(rows)) for rows in blocks])

    @abstractmethod
    def trained_on(self, columns: Columns, labels: Sequence[int], seed: int) -> Classify:
        """A classifier of condensed rows."""


class FrozenRewards(Rewards):
    """Logistic regressions on an encoder's frozen features: a second each."""

    def __init__(self, pool: Pool, encoder: str, rows: int, rng: np.random.Generator) -> None:
        self.pool, self.encoder = pool, encoder
        size = min(rows or len(pool), len(pool))
        self.rows = np.sort(rng.choice(len(pool), size, replace=False))

    def read(self, columns: Columns) -> np.ndarray:
        return np.asarray(self.pool.services.encode(self.encoder, columns))

    def read_pool(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.pool.embed(self.encoder)[rows])

    def little_trained(self) -> Classify:
        return self._fitted(self.read_pool(self.rows), self.pool.labels[self.rows])

    def trained_on(self, columns: Columns, labels: Sequence[int], seed: int) -> Classify:
        return self._fitted(self.read(columns), np.array(labels))

    def _fitted(self, features: np.ndarray, labels: np.ndarray) -> Classify:
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        n_classes = len(self.pool.classes)
        if len(set(labels.tolist())) == 1:
            only = int(labels[0])
            return lambda texts: np.eye(n_classes)[np.full(len(texts), only)]
        with threadpool_limits(1):
            classifier = LogisticRegression(max_iter=1000).fit(features, labels)

        def classify(texts: np.ndarray) -> np.ndarray:
            chances = np.zeros((len(texts), n_classes))
            chances[:, classifier.classes_] = classifier.predict_proba(texts)
            return chances

        return classify


class FinetunedRewards(Rewards):
    """A fine-tuned encoder: one epoch of real rows, and DiLM's recipe on condensed ones.

    The little-trained one is made once per pool and kept in `parts`, and beside it what it says of
    the pool.
    """

    def __init__(
        self, pool: Pool, folder: Path, parts: Path, rows: int, rng: np.random.Generator
    ) -> None:
        from benchmark.core.finetune.pretrained import held

        self.pool, self.folder, self.parts, self.rows = pool, folder, parts, rows
        self.seed = int(rng.integers(2**63))
        self.pretrained = held(folder, len(pool.classes))

    def read(self, columns: Columns) -> Any:
        from benchmark.core.finetune.tokens import tokenise

        return tokenise(self.pretrained.tokenizer, columns, 512)

    def read_pool(self, rows: np.ndarray) -> Any:
        return self.read(self.pool.texts(rows))

    def little_trained(self) -> Classify:
        from safetensors.torch import load_file

        part = self._part("little-trained", self._train_little)
        return self._classifier(load_file(part / "weights.safetensors"))

    def pool_chances(self) -> np.ndarray:
        def make(folder: Path, rng: np.random.Generator) -> None:
            np.save(folder / "chances.npy", super(FinetunedRewards, self).pool_chances())

        return np.load(self._part("little-trained-chances", make) / "chances.npy")

    def _part(self, name: str, make: Callable[[Path, np.random.Generator], None]) -> Path:
        from benchmark.core.assets import model_fingerprint

        ingredients = {
            "model": model_fingerprint(self.folder),
            "rows": self.rows,
            "recipe": asdict(self.little_recipe()),
        }
        return shared_part(self.parts / "set", self.pool, name, ingredients, make)

    def little_recipe(self) -> Recipe:
        """One epoch, as the paper trains it."""
        from benchmark.core.finetune.recipe import Recipe

        recipe = Recipe(learning_rate=1e-5, warmup=0.1, dropout=0.3, batch_size=32)
        return recipe.for_epochs(self._little_rows, 1, recipe.learning_rate)

    @property
    def _little_rows(self) -> int:
        return min(self.rows or len(self.pool), len(self.pool))

    def trained_on(self, columns: Columns, labels: Sequence[int], seed: int) -> Classify:
        from benchmark.core.finetune.recipe import Recipe

        return self._classifier(self._trained(columns, np.array(labels), Recipe(), seed))

    def _train_little(self, folder: Path, rng: np.random.Generator) -> None:
        from safetensors.torch import save_file

        rows = np.sort(rng.choice(len(self.pool), self._little_rows, replace=False))
        weights = self._trained(
            self.pool.texts(rows), self.pool.labels[rows], self.little_recipe(),
            int(rng.integers(2**63)),
        )  # fmt: skip
        save_file({name: w.contiguous() for name, w in weights.items()},
                  folder / "weights.safetensors")  # fmt: skip

    def _trained(self, columns: Columns, labels: np.ndarray, recipe: Any, seed: int) -> Any:
        from benchmark.core.finetune.engines import engine_for
        from benchmark.core.finetune.training import train_and_predict

        engine, tokens = engine_for(self.pretrained), self.read(columns)
        train_and_predict(engine, recipe, tokens, labels, tokens.take(np.arange(1)), seed)
        return engine.weights()

    def _classifier(self, weights: Any) -> Classify:
        from scipy.special import softmax

        from benchmark.core.finetune.engines import engine_for
        from benchmark.core.finetune.recipe import Recipe
        from benchmark.core.seeding import isolated_torch_rng

        def classify(texts: Any) -> np.ndarray:
            engine = engine_for(self.pretrained)
            with isolated_torch_rng(0):
                engine.begin(Recipe(dropout=0.0), texts.take(np.arange(1)))
            engine.restore(weights)
            return softmax(engine.predict(texts), axis=1)

        return classify
