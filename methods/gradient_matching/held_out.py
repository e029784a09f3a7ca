"""Did matching work? Gradient cosines on learners that matching never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.core.journal import Journal
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from methods.gradient_matching.closed_form import LastLayer
from methods.gradient_matching.learners import Bank, MatchingLearner
from methods.gradient_matching.teacher import random_sets
from methods.language_models.generator import Generator
from methods.language_models.sampling import columns_of, sample_texts


@dataclass(frozen=True)
class HeldOut:
    """Learners kept apart: trajectories `first` and after of a bank.

    `synthetic_rows` of each class have their gradient compared, all with one weight.
    """

    pool: Pool
    learner: MatchingLearner
    bank: Bank
    first: int
    count: int
    real_batch: int
    synthetic_rows: int
    top_p: float
    precision: str
    seed: int

    def cosines(self, generator: Generator) -> np.ndarray:
        """Mean cosine over states and classes, one for each trajectory, shape (count,).

        Every trajectory has real and synthetic rows of its own; two generators that are compared
        are given the same real rows and the same random numbers.
        """
        classes = range(len(self.pool.classes))
        real_tokens = self.learner.tokens(self.pool.texts())
        self.learner.begin(real_tokens)
        means = []
        for index in range(self.count):
            seed = seed_of("held-out", seed=self.seed, index=index)
            real = random_sets(self.pool, self.real_batch, numpy_generator(seed))
            drawn = [
                sample_texts(
                    generator,
                    label,
                    self.synthetic_rows,
                    seed_of("held-out-rows", seed=seed, label=label),
                    top_p=self.top_p,
                    precision=self.precision,
                )
                for label in classes
            ]
            tokens = [self.learner.tokens(columns_of(self.pool.text_columns, d)) for d in drawn]
            found = []
            for state in range(self.bank.states):
                self.bank.load(self.first + index, state)
                for label in classes:
                    rows = real_tokens.take(real[label])
                    wanted = self._gradient(rows, label)
                    made = self._gradient(tokens[label], label)
                    found.append(float((wanted * made).sum() / (wanted.norm() * made.norm())))
            means.append(float(np.mean(found)))
        return np.array(means)

    def _gradient(self, rows, label: int):
        layer: LastLayer = self.learner.last_layer(rows, np.full(len(rows), label))
        return layer.gradient()


def note_change(journal: Journal, before: Sequence[float], after: Sequence[float]) -> None:
    """Write down both means and the 95% t-interval of the paired difference."""
    from scipy import stats

    before, after = np.asarray(before), np.asarray(after)
    change = after - before
    journal.find("held_out_cosine_before", float(before.mean()))
    journal.find("held_out_cosine_after", float(after.mean()))
    journal.find("held_out_cosine_change", float(change.mean()))
    if len(change) > 1:
        half = stats.t.ppf(0.975, len(change) - 1) * change.std(ddof=1) / np.sqrt(len(change))
        journal.find("held_out_cosine_change_low", float(change.mean() - half))
        journal.find("held_out_cosine_change_high", float(change.mean() + half))
