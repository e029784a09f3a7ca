"""The outer loop: AdamW on what is learned, the best step kept, what is not finite rolled back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmark.core.checkpoint import Checkpoint, Weights
from benchmark.core.errors import BenchmarkError
from benchmark.core.freed_memory import give_back
from benchmark.core.journal import Journal
from benchmark.core.seeding import numpy_generator, seed_of
from methods.bilevel.learnable import Learnable
from methods.bilevel.source import Source, loss_and_accuracy
from methods.bilevel.unroll import final_weights, unrolled

REPORT_SECONDS, CHECKPOINT_SECONDS = 1.0, 60.0
LOG_EVERY = 20

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class OuterPlan:
    """How the set is optimised.

    Attributes
    ----------
    steps : outer steps.
    learning_rate : peak of AdamW's, linear to zero after `warmup` (a share of the steps).
    batch : real rows of each outer step.
    clip : largest joint norm of the gradients.
    momentum : of the inner steps.
    replay : whether gradients are found by walking back (`methods.bilevel.unroll`).
    evaluate_every : outer steps between two looks at the selection split.
    trainings : fresh learners that a look trains.
    ramp : share of the outer steps over which the number of inner steps grows from one to all.
    patience : how often a loss that is not finite is rolled back before the set is given up.
    fixed_start : seed of the one start that all inner trainings have; None draws a new one each.
    """

    steps: int
    learning_rate: float
    batch: int = 32
    warmup: float = 0.1
    clip: float = 1.0
    momentum: float = 0.0
    replay: bool = False
    evaluate_every: int = 100
    trainings: int = 2
    ramp: float = 0.0
    patience: int = 5
    fixed_start: int | None = None

    def rate(self, step: int) -> float:
        """Learning rate of outer step `step`, counted from 0."""
        rising = math.ceil(self.steps * self.warmup)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * (self.steps - step) / max(1, self.steps - rising)

    def inner_steps(self, step: int, whole: int) -> int:
        """How many inner steps outer step `step` takes of the `whole`."""
        if self.ramp <= 0:
            return whole
        return max(1, min(whole, math.ceil(whole * (step + 1) / (self.ramp * self.steps))))


class OuterLoop:
    """Optimises a learnable set; resumable, and repeatable step by step.

    Parameters
    ----------
    training, selection : rows of the pool that outer losses are taken of, and those on which the
        best step is chosen; they have none in common.
    folder : where checkpoint and journal lie.
    """

    def __init__(
        self,
        source: Source,
        learnable: Learnable,
        plan: OuterPlan,
        training: np.ndarray,
        selection: np.ndarray,
        labels: np.ndarray,
        folder: Path,
        seed: int,
        report: Report,
        words: str,
    ) -> None:
        self.source, self.learnable, self.plan = source, learnable, plan
        self.training, self.selection, self.labels = training, selection, labels
        self.folder, self.seed, self.report, self.words = folder, seed, report, words
        self.journal = Journal(folder)
        self.learned = [p for p in learnable.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.learned, lr=0.0, weight_decay=0.0)
        self.checkpoint = Checkpoint(folder / "last.safetensors", learnable, self.optimiser)
        self.best = Weights(folder / "best.safetensors", learnable)
        self.rollbacks = int(max(self.journal.curves().get("rolled_back", {0: 0.0})))

    def run(self) -> None:
        """Optimise, then load the best step."""
        plan = self.plan
        step = self.checkpoint.load()
        losses: list[float] = []
        told = saved = time.monotonic()
        with self.journal.phase("outer"):
            if step == 0:
                self._look(0)
                self.checkpoint.save(0)
            while step < plan.steps:
                loss = self._step(step)
                if loss is None:
                    step = self._roll_back(step)
                    losses = []
                    continue
                step += 1
                losses.append(loss)
                now, last = time.monotonic(), step == plan.steps
                if step % LOG_EVERY == 0 or last:
                    self.journal.log("outer_loss", step, float(np.mean(losses)))
                    losses = []
                if step % plan.evaluate_every == 0 or last:
                    self._look(step)
                if now - told > REPORT_SECONDS or last:
                    self.report(self.words, step, plan.steps)
                    told = now
                if now - saved > CHECKPOINT_SECONDS and not last:
                    self.checkpoint.save(step)
                    self.journal.lap()
                    give_back()
                    saved = time.monotonic()
        best = self.best.load()
        found = self.journal.curves()
        self.journal.find("best_step", best)
        self.journal.find("selection_loss", found["selection_loss"][best])
        self.journal.find("selection_accuracy", found["selection_accuracy"][best])
        self.checkpoint.remove()

    def _step(self, step: int) -> float | None:
        """Take one outer step; None, with nothing changed, if it was not finite."""
        plan = self.plan
        rng = numpy_generator(seed_of("outer-batch", seed=self.seed, step=step))
        rows = rng.choice(self.training, min(plan.batch, len(self.training)), replace=False)
        start = self.source.start(self._start_seed(int(rng.integers(2**63))))
        self.optimiser.zero_grad(set_to_none=True)
        count = plan.inner_steps(step, len(self.learnable.layout.order))
        loss = unrolled(
            start,
            self.learnable.batches()[:count],
            self.learnable.rates()[:count],
            self.source.loss,
            lambda weights: self.source.outer(weights, rows),
            learned=self.learned,
            momentum=plan.momentum,
            replay=plan.replay,
            folder=self.folder,
        )
        if not np.isfinite(loss):
            return None
        norm = nn.utils.clip_grad_norm_(self.learned, plan.clip)
        if not bool(torch.isfinite(norm)):
            return None
        for group in self.optimiser.param_groups:
            group["lr"] = plan.rate(step) * 0.5**self.rollbacks
        self.optimiser.step()
        return loss

    def _start_seed(self, drawn: int) -> int:
        return drawn if self.plan.fixed_start is None else self.plan.fixed_start

    def _look(self, step: int) -> None:
        """Train fresh learners on the set as it is and note how they do on the selection split."""
        losses, accuracies = [], []
        with torch.no_grad():
            batches, rates = self.learnable.batches(), self.learnable.rates()
        for number in range(self.plan.trainings if self.plan.fixed_start is None else 1):
            seed = seed_of("selection-training", seed=self.seed, number=number)
            start = self.source.start(self._start_seed(seed))
            weights = final_weights(start, batches, rates, self.source.loss, self.plan.momentum)
            scores = self.source.scores(weights, self.selection)
            loss, accuracy = loss_and_accuracy(scores, self.labels[self.selection])
            losses.append(loss)
            accuracies.append(accuracy)
        loss = float(np.mean(losses))
        before = self.journal.curves().get("selection_loss", {})
        kept = [value for at, value in before.items() if at < step and np.isfinite(value)]
        self.journal.log("selection_loss", step, loss)
        self.journal.log("selection_accuracy", step, float(np.mean(accuracies)))
        if step == 0 or (np.isfinite(loss) and loss < min(kept, default=np.inf)):
            self.best.save(step)

    def _roll_back(self, step: int) -> int:
        """Return to the last good state with smaller steps, inside and outside."""
        self.rollbacks += 1
        if self.rollbacks > self.plan.patience:
            raise BenchmarkError(
                f"{self.words}: the outer loss was not finite at step {step + 1} of "
                f"{self.plan.steps}, {self.rollbacks} times so far; the set is given up. Try a "
                "smaller learning_rate or inner_rate"
            )
        good = self.checkpoint.load()
        self.learnable.scale_rates(0.5)
        self.checkpoint.save(good)
        self.journal.log("rolled_back", self.rollbacks, step)
        self.report(
            f"{self.words}: not finite, back at step {good} with half the rates", good,
            self.plan.steps,
        )  # fmt: skip
        return good
