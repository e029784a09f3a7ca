"""Did matching work? Gradient cosines on learners that matching never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.core.finetune.tokens import Ragged
from benchmark.core.journal import Journal
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from methods.gradient_matching.learners import Bank, MatchingLearner
from methods.gradient_matching.teacher import random_sets
from methods.language_models.generator import Generator
from methods.language_models.sampling import columns_of, sample_texts

TEACHER, RANDOM = "held_out_cosine", "held_out_cosine_to_random_rows"


@dataclass(frozen=True)
class HeldOut:
    """Learners kept apart: trajectories `first` and after of a bank.

    `synthetic_rows` of each class have their gradient compared, all with one weight. `teacher` is
    what was matched: representative sets, or None for random rows.
    """

    pool: Pool
    learner: MatchingLearner
    bank: Bank
    teacher: Sequence[Sequence[np.ndarray]] | None
    first: int
    count: int
    real_batch: int
    synthetic_rows: int
    top_p: float
    precision: str
    seed: int

    def cosines(self, generator: Generator) -> dict[str, list[float]]:
        """Mean cosine over states and classes, one for each trajectory.

        With the gradient of the teacher that was matched (`held_out_cosine`), and, where that is
        representative sets, with the gradient of as many random rows beside: the two are different
        directions once a learner is trained, as representatives are seldom those it gets wrong.
        Every trajectory has real and synthetic rows of its own; two generators that are compared
        are given the same real rows and the same random numbers.
        """
        tokens = self.learner.tokens(self.pool.texts())
        self.learner.begin(tokens)
        found: dict[str, list[float]] = {}
        for index in range(self.count):
            real = self._real(index)
            made = self._sampled(generator, index)
            values: dict[str, list[float]] = {name: [] for name in real}
            for state in range(self.bank.states):
                self.bank.load(self.first + index, state)
                for label, rows in enumerate(made):
                    mine = self._gradient(rows, label)
                    for name, sets in real.items():
                        wanted = self._gradient(tokens.take(sets[label]), label)
                        cosine = (wanted * mine).sum() / (wanted.norm() * mine.norm())
                        values[name].append(float(cosine))
            for name, all_states in values.items():
                found.setdefault(name, []).append(float(np.mean(all_states)))
        return found

    def _real(self, index: int) -> dict[str, Sequence[np.ndarray]]:
        rng = numpy_generator(seed_of("held-out-real", seed=self.seed, index=index))
        drawn = random_sets(self.pool, self.real_batch, rng)
        if self.teacher is None:
            return {TEACHER: drawn}
        return {TEACHER: self.teacher[index % len(self.teacher)], RANDOM: drawn}

    def _sampled(self, generator: Generator, index: int) -> list[Ragged]:
        rows = [
            sample_texts(
                generator,
                label,
                self.synthetic_rows,
                seed_of("held-out-rows", seed=self.seed, index=index, label=label),
                top_p=self.top_p,
                precision=self.precision,
            )
            for label in range(len(self.pool.classes))
        ]
        return [self.learner.tokens(columns_of(self.pool.text_columns, part)) for part in rows]

    def _gradient(self, rows: Ragged, label: int):
        return self.learner.last_layer(rows, np.full(len(rows), label)).gradient()


def note_change(
    journal: Journal, before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]]
) -> None:
    """Write down both means and the 95% t-interval of the paired difference, over trajectories."""
    from scipy import stats

    for name in before:
        old, new = np.asarray(before[name]), np.asarray(after[name])
        change = new - old
        journal.find(f"{name}_before", float(old.mean()))
        journal.find(f"{name}_after", float(new.mean()))
        journal.find(f"{name}_change", float(change.mean()))
        if len(change) > 1:
            half = stats.t.ppf(0.975, len(change) - 1) * change.std(ddof=1) / np.sqrt(len(change))
            journal.find(f"{name}_change_low", float(change.mean() - half))
            journal.find(f"{name}_change_high", float(change.mean() + half))
