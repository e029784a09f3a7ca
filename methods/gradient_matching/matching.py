"""The gradient-matching phase: the generator learns to write rows that train like real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from benchmark.core.finetune.recipe import Recipe
from benchmark.core.finetune.tokens import Ragged
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from methods.gradient_matching.closed_form import LastLayer, by_likelihood, match, row_weights
from methods.gradient_matching.learners import Bank, MatchingLearner
from methods.gradient_matching.synthetic import SyntheticRows, cluster
from methods.gradient_matching.teacher import random_sets
from methods.language_models.generator import Generator
from methods.language_models.likelihood import likelihood
from methods.language_models.sampling import columns_of, sample_texts
from methods.language_models.training import Phase, Trainer


@dataclass(frozen=True)
class MatchingPlan:
    """How a generator is matched; the names are those of Algorithm 1 where it has one.

    Attributes
    ----------
    recipe : of the generator's updates, of which there are S x T.
    inner_steps : T, states of a learner between two initialisations.
    real_batch, synthetic_batch : M and N, rows of each class.
    interval : generator updates between two samplings of synthetic rows.
    diverse : one row of each of N clusters a batch, else random rows.
    weights : `paper`, `padded` or `token-mean` (see `row_weights`).
    trajectories : learners that outer loops take in turn.
    top_p : of the sampling.
    """

    recipe: Recipe
    inner_steps: int
    real_batch: int
    synthetic_batch: int
    interval: int
    diverse: bool
    weights: str
    trajectories: int
    top_p: float


class Matching:
    """One matching phase: a generator, learners to match on, and the real rows to match.

    `teacher` holds the row numbers of representative sets, set by set and class by class; None
    draws random rows of each class at every step.
    """

    def __init__(
        self,
        pool: Pool,
        plan: MatchingPlan,
        generator: Generator,
        learner: MatchingLearner,
        bank: Bank,
        teacher: Sequence[Sequence[np.ndarray]] | None,
        seed: int,
    ) -> None:
        self.pool, self.plan, self.seed = pool, plan, seed
        self.generator, self.learner, self.bank, self.teacher = generator, learner, bank, teacher
        self.real_tokens = learner.tokens(pool.texts())
        self.synthetic: SyntheticRows | None = None
        self.synthetic_tokens: list[Ragged] = []
        self.likelihood_rows: list[list[np.ndarray]] = []
        self._real: dict[tuple[int, int, int], list[torch.Tensor]] = {}

    def run(self, folder: Path) -> None:
        """Take all steps, resuming at the last checkpoint in `folder`."""
        plan = self.plan
        words = f"{self.pool.task}: gradient matching"
        phase = Phase("matching", words, plan.recipe)
        services = self.pool.services
        trainer = Trainer(self.generator.model, phase, folder, self.seed, services.report)
        self.learner.begin(self.real_tokens)
        for step in trainer.steps():
            start = step - step % plan.interval
            if self.synthetic is None or self.synthetic.start != start:
                self._take(SyntheticRows.load(folder, start) or self._sample(start, folder))
            outer, state = divmod(step, plan.inner_steps)
            trajectory = outer % plan.trajectories
            self.bank.load(trajectory, state)
            trainer.update(step, self.backward(step, trajectory, state))
        trainer.checkpoint.remove()

    def backward(self, step: int, trajectory: int, state: int):
        """Prepare a step: returns what adds the generator's gradients up and gives the loss."""
        real = self._real_gradients(step, trajectory, state)
        rng = numpy_generator(seed_of("synthetic-batch", seed=self.seed, step=step))
        rows, layers = [], []
        for label in range(len(self.pool.classes)):
            chosen = self._chosen(label, rng)
            rows += [self.likelihood_rows[label][i] for i in chosen]
            tokens = self.synthetic_tokens[label].take(chosen)
            layers.append(self.learner.last_layer(tokens, np.full(len(chosen), label)))
        return lambda parts: generator_backward(
            self.generator, rows, real, layers, self.plan.weights, self.plan.recipe, parts
        )

    def _chosen(self, label: int, rng: np.random.Generator) -> np.ndarray:
        assert self.synthetic is not None
        return self.synthetic.batch(label, self.plan.synthetic_batch, rng)

    def _real_gradients(self, step: int, trajectory: int, state: int) -> list[torch.Tensor]:
        """Mean gradient of the real rows of each class, at the learner's present state."""
        if self.teacher is None:
            rng = numpy_generator(seed_of("real-batch", seed=self.seed, step=step))
            return self._gradients(random_sets(self.pool, self.plan.real_batch, rng))
        number = step % len(self.teacher)
        key = (trajectory, state, number)
        if key not in self._real:
            self._real[key] = self._gradients(self.teacher[number])
        return self._real[key]

    def _gradients(self, sets: Sequence[np.ndarray]) -> list[torch.Tensor]:
        rows = np.concatenate(sets)
        labels = np.repeat(np.arange(len(sets)), [len(part) for part in sets])
        layer = self.learner.last_layer(self.real_tokens.take(rows), labels)
        ends = np.cumsum([0, *(len(part) for part in sets)])
        return [
            LastLayer(layer.inputs[a:b], layer.errors[a:b]).gradient() for a, b in pairwise(ends)
        ]

    def _sample(self, start: int, folder: Path) -> SyntheticRows:
        """Sample an interval's rows from the generator as it is now, and cluster them.

        Clusters are made on what the learner's last layer reads, at the state that it is in.
        """
        plan, texts, clusters = self.plan, [], []
        training = self.generator.model.training
        count = plan.synthetic_batch * min(plan.interval, plan.recipe.steps - start)
        words = f"{self.pool.task}: sampling rows to match"
        for label in range(len(self.pool.classes)):
            seed = seed_of("synthetic-rows", seed=self.seed, step=start, label=label)
            rows = sample_texts(
                self.generator,
                label,
                count,
                seed,
                top_p=plan.top_p,
                precision=plan.recipe.precision,
                report=lambda done, total: self.pool.services.report(words, done, total),
            )
            texts.append(rows)
            if plan.diverse:
                tokens = self.learner.tokens(columns_of(self.pool.text_columns, rows))
                features = self.learner.head_inputs(tokens)[0].numpy()
                clusters.append(cluster(features, plan.synthetic_batch, seed % 2**32))
            else:
                clusters.append(np.zeros(count, dtype=np.int64))
        self.generator.model.train(training)
        made = SyntheticRows(start, texts, clusters)
        made.save(folder)
        return made

    def _take(self, synthetic: SyntheticRows) -> None:
        self.synthetic = synthetic
        names = self.pool.text_columns
        self.synthetic_tokens, self.likelihood_rows = [], []
        for label, rows in enumerate(synthetic.texts):
            columns = columns_of(names, rows)
            self.synthetic_tokens.append(self.learner.tokens(columns))
            labels = np.full(len(rows), label)
            self.likelihood_rows.append(self.generator.serialiser.encode(columns, labels))


def generator_backward(
    generator: Generator,
    rows: Sequence[np.ndarray],
    real: Sequence[torch.Tensor],
    layers: Sequence[LastLayer],
    kind: str,
    recipe: Recipe,
    parts: int,
) -> float:
    """Add the gradient of the matching loss to the generator's; returns the loss.

    Parameters
    ----------
    rows : token sequences of the synthetic rows, class after class.
    real : the real gradient of each class.
    layers : the synthetic rows of each class as the learner's last layer sees them.
    parts : how many pieces to compute likelihoods in. Weights need all of them: more than one
        piece costs a second pass.
    """
    pieces = np.array_split(np.arange(len(rows)), parts)

    def likelihoods(piece: np.ndarray):
        return likelihood(generator.model, [rows[i] for i in piece], recipe.precision)

    if parts == 1:
        found = [likelihoods(pieces[0])]
    else:
        with torch.no_grad():
            found = [likelihoods(piece) for piece in pieces]
    nll = torch.cat([part.nll.detach() for part in found])
    tokens = torch.cat([part.tokens for part in found])
    loss, by_nll, start = 0.0, torch.zeros_like(nll), 0
    for gradient, layer in zip(real, layers, strict=True):
        mine = slice(start, start + len(layer.inputs))
        weights = row_weights(nll[mine], tokens[mine], kind)
        matched = match(gradient.to(nll.device), _on(layer, nll.device), weights)
        loss += (1.0 - matched.cosine) / len(real)
        by_weight = -matched.by_weight / len(real)
        by_nll[mine] = by_likelihood(by_weight, weights, tokens[mine], kind)
        start = mine.stop
    if parts == 1:
        (found[0].nll * by_nll).sum().backward()
    else:
        for piece in pieces:
            at = torch.from_numpy(piece).to(by_nll.device)
            (likelihoods(piece).nll * by_nll[at]).sum().backward()
    return loss


def _on(layer: LastLayer, device: torch.device) -> LastLayer:
    return LastLayer(layer.inputs.to(device), layer.errors.to(device))
