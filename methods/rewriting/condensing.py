"""Retrieval, rewriting, ranking, round after round until the budget is full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from methods.k_centers import kmeans_medoids
from methods.language_models.sampling import columns_of
from methods.rewriting.prompts import (
    Row,
    features_prompt,
    is_of_the_task,
    read_answer,
    write_prompt,
)
from methods.rewriting.rewards import Classify, Rewards
from methods.rewriting.writers import Answer, KeptAnswers

FEATURE_TOKENS = 400


@dataclass(frozen=True)
class CondensePlan:
    """How rows are retrieved and rewritten.

    Attributes
    ----------
    retrieved : real rows of each class that a prompt shows.
    share : of them, how many rows an answer should write.
    answers : answers among which the best is chosen.
    rounds : rounds of answers for the rows of one class before it is given up.
    least_representative, least_coverage : what a real row must reach to be retrieved.
    coverage_weight : of coverage in the reward of a written row.
    looked_at : real rows among which are retrieved, drawn anew each time.
    features : whether the writer is first asked what marks the classes.
    agreeing : whether a written row must be of its class for the classifier of real rows.
    tokens : of an answer, for each row that it should write.
    """

    retrieved: int
    share: float
    answers: int
    rounds: int
    least_representative: float
    least_coverage: float
    coverage_weight: float
    looked_at: int
    features: bool
    agreeing: bool
    tokens: int


class Condensing:
    """One set in the making."""

    def __init__(
        self, pool: Pool, encoder: str, rewards: Rewards, writer: KeptAnswers,
        plan: CondensePlan, who: str, seed: int,
    ) -> None:  # fmt: skip
        self.pool, self.encoder, self.rewards, self.writer = pool, encoder, rewards, writer
        self.plan, self.who, self.seed = plan, who, seed
        self.typical, self.pool_chances = rewards.little_trained(), rewards.pool_chances()
        self.rows: list[list[Row]] = [[] for _ in pool.classes]
        self.real = {folded(row) for row in zip(*pool.texts().values(), strict=True)}

    def run(self, sizes: Sequence[int]) -> list[list[Row]]:
        """Return so many rows of each class."""
        words, total = f"{self.pool.task}: {self.who}, rows written", sum(sizes)
        number = 0
        while any(len(rows) < size for rows, size in zip(self.rows, sizes, strict=True)):
            known = self._known(number)
            rng = numpy_generator(seed_of("retrieve", seed=self.seed, number=number))
            examples = {
                name: self._retrieve(label, known, rng)
                for label, name in enumerate(self.pool.classes)
            }
            features = self._features(examples, number)
            for label, size in enumerate(sizes):
                left = size - len(self.rows[label])
                if left > 0:
                    wanted = min(left, max(1, round(self.plan.share * self.plan.retrieved)))
                    self.rows[label] += self._write(
                        label, wanted, examples, features, known, number
                    )
                self.pool.services.report(words, sum(map(len, self.rows)), total)
            number += 1
        return self.rows

    def _known(self, number: int) -> Classify | None:
        """The classifier of what is condensed so far, None before there is anything."""
        if not all(self.rows):
            return None
        rows = [row for of_class in self.rows for row in of_class]
        labels = [label for label, of_class in enumerate(self.rows) for _ in of_class]
        columns = columns_of(self.pool.text_columns, rows)
        return self.rewards.trained_on(
            columns, labels, seed_of("condensed", seed=self.seed, number=number)
        )

    def _rewards(
        self, chances: np.ndarray, told: np.ndarray | None, label: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Representativeness and coverage of rows, shape (n,).

        `chances` and `told` are the class probabilities (n, C) that the classifiers of real and of
        condensed rows find. Before anything is condensed, what is known of a row is a guess among
        the classes.
        """
        typical = chances[:, label]
        known = 1 / len(self.pool.classes) if told is None else told[:, label]
        return typical, typical - known

    def _retrieve(self, label: int, known: Classify | None, rng: np.random.Generator) -> list[Row]:
        """Real rows that are typical and not yet told, spread over their class by k-means."""
        plan = self.plan
        members = np.flatnonzero(self.pool.labels == label)
        if plan.looked_at and len(members) > plan.looked_at:
            members = np.sort(rng.choice(members, plan.looked_at, replace=False))
        told = None if known is None else known(self.rewards.read_pool(members))
        typical, new = self._rewards(self.pool_chances[members], told, label)
        count = min(plan.retrieved, len(members))
        good = (typical >= plan.least_representative) & (new >= plan.least_coverage)
        fine, others = np.flatnonzero(good), np.flatnonzero(~good)
        if len(fine) < count:  # all of them, and the nearest to the thresholds
            rewards = (typical + plan.coverage_weight * new)[others]
            more = others[np.argsort(-rewards, kind="stable")[: count - len(fine)]]
            chosen = members[np.sort(np.concatenate([fine, more]))]
        else:
            features = np.asarray(self.pool.embed(self.encoder)[members[fine]])
            chosen = members[fine][kmeans_medoids(features, count, int(rng.integers(2**32)))]
        return list(zip(*self.pool.texts(chosen).values(), strict=True))

    def _features(self, examples: Mapping[str, Sequence[Row]], number: int) -> str:
        if not self.plan.features:
            return ""
        seed = seed_of("features", seed=self.seed, number=number)
        return self.writer.answers(features_prompt(examples), [seed], FEATURE_TOKENS)[0].text

    def _write(
        self,
        label: int,
        wanted: int,
        examples: Mapping[str, Sequence[Row]],
        features: str,
        known: Classify | None,
        number: int,
    ) -> list[Row]:
        """Ask until there are enough good rows; the best answer's first, then the best others."""
        name = self.pool.classes[label]
        prompt = write_prompt(name, examples, self.pool.text_columns, wanted, features)
        taken = {row for rows in self.rows for row in rows}
        answers: list[list[tuple[float, Row]]] = []
        faults: Counter[str] = Counter()
        last = Answer("", 0)
        for turn in range(self.plan.rounds):
            seeds = [
                seed_of("answer", seed=self.seed, number=number, label=label, turn=turn, at=at)
                for at in range(self.plan.answers)
            ]
            most, parted = self.plan.tokens * wanted, self.pool.is_pair
            for last in self.writer.answers(prompt, seeds, most, parted):
                rows, odd = read_answer(
                    last.whole_lines, len(self.pool.text_columns), self.pool.classes
                )
                faults["of another form"] += odd
                answers.append(self._judged(rows, label, known, taken, faults))
            chosen = _best(answers, wanted)
            if len(chosen) == wanted:
                return chosen
        said = ", ".join(f"{count} {fault}" for fault, count in faults.items() if count)
        raise BenchmarkError(
            f"{self.who}: {len(chosen)} of {wanted} rows of class {name!r} after "
            f"{len(answers)} answers (left out: {said or 'nothing was answered'}); the last one "
            f"began {' '.join(last.text.split())[:80]!r}. A stronger writer may help, or more "
            "rounds or agreeing=false, for which the answers so far are kept"
        )

    def _judged(
        self,
        rows: Sequence[Row],
        label: int,
        known: Classify | None,
        taken: set[Row],
        faults: Counter[str],
    ) -> list[tuple[float, Row]]:
        """Rewards of an answer's good rows."""
        unseen = [row for row in dict.fromkeys(rows) if row not in taken]
        other = [row for row in unseen if folded(row) not in self.real]
        fresh = [row for row in other if not is_of_the_task(row, self.pool.classes)]
        faults["repeated"] += len(rows) - len(unseen)
        faults["copied"] += len(unseen) - len(other)
        faults["about the task itself"] += len(other) - len(fresh)
        if not fresh:
            return []
        texts = self.rewards.read(columns_of(self.pool.text_columns, fresh))
        chances, told = self.typical(texts), None if known is None else known(texts)
        typical, new = self._rewards(chances, told, label)
        agree = chances.argmax(1) == label
        right = agree if self.plan.agreeing else np.ones(len(fresh), dtype=bool)
        faults["of another class"] += int((~right).sum())
        reward = typical + self.plan.coverage_weight * new
        return [(float(reward[i]), fresh[i]) for i in np.flatnonzero(right)]


def folded(row: Row) -> Row:
    """A row without regard to case and white space, by which copies of real rows are found."""
    return tuple(" ".join(text.casefold().split()) for text in row)


def _best(answers: Sequence[Sequence[tuple[float, Row]]], wanted: int) -> list[Row]:
    """The rows of the answer with the largest sum, then of all others the best, each once."""
    ordered = [sorted(rows, key=lambda pair: -pair[0])[:wanted] for rows in answers]
    ordered.sort(key=lambda rows: -sum(reward for reward, _ in rows))
    first, rest = ordered[0], [pair for rows in ordered[1:] for pair in rows]
    chosen = dict.fromkeys(row for _, row in first)
    for _, row in sorted(rest, key=lambda pair: -pair[0]):
        if len(chosen) == wanted:
            break
        chosen[row] = None
    return list(chosen)
