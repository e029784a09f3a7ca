"""DiLM: a language model trained to write rows whose gradients match those of real rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmark.core.errors import BenchmarkError
from benchmark.core.journal import Journal
from benchmark.core.method import register
from benchmark.core.parameters import require_at_least, require_positive
from benchmark.core.pool import Pool
from benchmark.core.states import shared_part
from benchmark.core.threads import fixed_threads
from methods import vanilla_lm
from methods.vanilla_lm import VanillaLM, take

if TYPE_CHECKING:
    from benchmark.core.finetune.recipe import Recipe
    from methods.gradient_matching.learners import Bank, MatchingLearner
    from methods.gradient_matching.matching import MatchingPlan

CPU: dict[str, Any] = {
    **vanilla_lm.CPU,
    "learner": "minilm",
    "steps": 600,
    "learning_rate": 1e-4,
    "interval": 50,
    "trajectories": 6,
}
"""What a CPU does in minutes: small generator, MiniLM as learner, fewer steps."""


@register("dilm", paper="maekawa2024dilm")
@register("dilm-no-teacher", paper="maekawa2024dilm", teacher="random")
@register("dilm-no-diversity", paper="maekawa2024dilm", diverse=False)
@register("dilm-no-selection", paper="maekawa2024dilm", selection="none")
@register("dilm-cpu", paper="maekawa2024dilm", **CPU)
@register("dilm-cpu-no-teacher", paper="maekawa2024dilm", **CPU, teacher="random")
@register("dilm-cpu-no-diversity", paper="maekawa2024dilm", **CPU, diverse=False)
@register("dilm-cpu-no-selection", paper="maekawa2024dilm", **CPU, selection="none")
class DiLM(VanillaLM):
    """Train a generator by gradient matching, sample rows from it, keep representatives.

    The language model of `vanilla-lm` is trained on (Algorithm 1 of the paper): for each class, the
    gradient of a learner's loss on real rows is compared by its cosine with that on generated rows,
    each weighted by the probability that the generator gives it, and the generator is updated to
    raise the weights of rows that bring the two gradients together (equations 2 to 5). Only the
    learner's last linear layer counts. There the gradient has a closed form, so that no backward
    pass through the learner is taken, and learners do not depend on the generator, so that a bank
    of them is trained once (`trajectories` of them, which outer loops take in turn; the paper
    trains a new one in each of its 2,000).

    Three techniques, each with a switch: real batches are representative sets (`teacher`),
    generated batches hold one row of each of 64 clusters (`diverse`), and what is generated in the
    end is selected from (`selection`).

    After matching, the journal of the state holds the cosine on held-out learners before and after,
    with an interval: with the teacher's gradient, and with that of random rows beside it.

    Different from the paper and its code: batches of the learner are drawn anew at every step, not
    epoch by epoch; representative sets are clustered on the encoder's features, on at most 10,000
    rows of a class; one of each cluster is drawn at random, as the paper says (the code goes
    round); the learner trains with dropout 0.1 as in table 6 (the code has it switched off).

    Parameters
    ----------
    learner : catalogue model whose gradients are matched.
    steps, learning_rate : updates of the generator (S x T) and the peak of their rate.
    inner_steps, learner_steps : T states of a learner, K updates of it between two.
    real_batch, synthetic_batch : M real and N generated rows of each class in a step.
    interval : updates between two samplings of N x `interval` rows of each class.
    weights : `padded`, what the released code computes and the paper's figures come from;
        `paper`, equation 5 as printed, which weights almost one row alone; `token-mean`.
    trajectories : learners in the bank.
    held_out : further learners, which tell how the cosine changed.
    """

    learner: str = "bert-base"
    steps: int = 20_000
    learning_rate: float = 3e-7
    inner_steps: int = 10
    learner_steps: int = 20
    real_batch: int = 200
    synthetic_batch: int = 64
    interval: int = 200
    teacher: Literal["representative", "random"] = "representative"
    diverse: bool = True
    weights: Literal["padded", "paper", "token-mean"] = "padded"
    trajectories: int = 24
    held_out: int = 4

    toy = {
        **VanillaLM.toy,
        "learner": "minilm",
        "steps": 2,
        "inner_steps": 2,
        "learner_steps": 1,
        "real_batch": 4,
        "synthetic_batch": 2,
        "interval": 2,
        "trajectories": 1,
        "held_out": 1,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(
            self, 1, "steps", "inner_steps", "learner_steps", "real_batch", "synthetic_batch",
            "interval", "trajectories",
        )  # fmt: skip
        require_at_least(self, 0, "held_out")
        require_positive(self, "learning_rate")

    @property
    def models(self) -> tuple[str, ...]:
        """The pretrained generator, if it is one, and the learner."""
        return (*super().models, self.learner)

    def phase_efforts(self) -> dict[str, float]:
        """Rows that are read; of the learners, their updates."""
        bank = (self.trajectories + self.held_out) * self.inner_steps * self.learner_steps
        matching = self.steps * (self.real_batch + self.synthetic_batch)
        return {**super().phase_efforts(), "learners": bank, "matching": matching}

    def prepare(self, pool: Pool, rng: np.random.Generator, folder: Path) -> None:
        """Train the language model and the learners, or take those there are; then match."""
        generator = self.language_model(pool, folder)
        bank = self._bank(pool, folder)
        matched = self._matched(pool, folder, generator, bank)
        take(matched, folder, (generator, bank))
        self.look_at_labels(pool, folder)

    def _bank(self, pool: Pool, folder: Path) -> Path:
        """Return the folder of the trained learners."""
        from benchmark.core.assets import model_fingerprint

        recipe = self.learner_recipe()
        count = self.trajectories + self.held_out

        def make(partial: Path, rng: np.random.Generator) -> None:
            journal = Journal(partial)
            words = f"{pool.task}: training learners to match"
            with fixed_threads(), journal.phase("learners"):
                self._open_bank(pool, partial).fill(
                    count,
                    pool,
                    self.learner_steps,
                    int(rng.integers(2**63)),
                    lambda done, total: pool.services.report(words, done, total),
                )

        ingredients = {
            "model": model_fingerprint(pool.services.model(self.learner)),
            "recipe": vars(recipe),
            "states": self.inner_steps,
            "every": self.learner_steps,
            "count": count,
        }
        return shared_part(folder, pool, "learners", ingredients, make)

    def _matched(self, pool: Pool, folder: Path, generator: Path, bank: Path) -> Path:
        """Return the folder of the matched generator; variants that differ in the rest share it."""
        from dataclasses import asdict

        def make(partial: Path, rng: np.random.Generator) -> None:
            with fixed_threads():
                self._match(pool, partial, generator, bank, rng)

        ingredients = {
            "language_model": generator.name,
            "learners": bank.name,
            "plan": asdict(self.plan()),
            "teacher": [self.teacher, self.encoder if self.teacher == "representative" else ""],
        }
        return shared_part(folder, pool, "matching", ingredients, make)

    def _match(
        self, pool: Pool, folder: Path, start: Path, bank: Path, rng: np.random.Generator
    ) -> None:
        from benchmark.core.finetune.pretrained import set_dropout
        from methods.gradient_matching.held_out import HeldOut, note_change
        from methods.gradient_matching.matching import Matching
        from methods.gradient_matching.teacher import representative_sets
        from methods.language_models.generator import load
        from methods.language_models.pretraining import GENERATOR

        counts, least = pool.class_counts(), 2
        if counts.min() < least:
            label = pool.classes[int(counts.argmin())]
            raise BenchmarkError(
                f"task {pool.task!r}: class {label!r} has {counts.min()} rows; matching a "
                f"gradient needs {least} of each class"
            )
        seed = int(rng.integers(2**63))
        learners = self._open_bank(pool, bank)
        generator = load(start / GENERATOR)
        plan = self.plan()
        journal = Journal(folder)
        with journal.phase("teacher"):
            teacher = None
            if self.teacher == "representative":
                teacher = representative_sets(pool, self.encoder, self.real_batch, rng)
        held_out = HeldOut(
            pool, learners.learner, learners, teacher, self.trajectories, self.held_out,
            self.real_batch, 4 * self.synthetic_batch, self.top_p, self.precision, seed,
        )  # fmt: skip
        before = self._noted(folder / "before.json", lambda: held_out.cosines(generator))
        set_dropout(generator.model, plan.recipe.dropout)
        Matching(pool, plan, generator, learners.learner, learners, teacher, seed).run(folder)
        generator.save(folder / GENERATOR)
        note_change(journal, before, held_out.cosines(generator))

    def _noted(self, path: Path, compute: Callable[[], Any]) -> Any:
        """Return what was written down, or compute and write it."""
        if not path.exists():
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_text(json.dumps(compute()))
            os.replace(temporary, path)
        return json.loads(path.read_text())

    def _open_bank(self, pool: Pool, folder: Path) -> Bank:
        from methods.gradient_matching.learners import Bank, MatchingLearner

        model = pool.services.model(self.learner)
        learner: MatchingLearner = MatchingLearner(model, len(pool.classes), self.learner_recipe())
        return Bank(folder, learner, self.inner_steps)

    def learner_recipe(self) -> Recipe:
        """How the learners are trained: table 6 of the paper, T x K steps."""
        from benchmark.core.finetune.recipe import Recipe

        steps = self.inner_steps * self.learner_steps
        return Recipe(steps=steps, precision=self.precision)

    def plan(self) -> MatchingPlan:
        """The matching phase's own settings."""
        from benchmark.core.finetune.recipe import Recipe
        from methods.gradient_matching.matching import MatchingPlan

        recipe = Recipe(
            steps=self.steps,
            learning_rate=self.learning_rate,
            warmup=0.05,
            batch_size=self.synthetic_batch,
            precision=self.precision,
        )
        return MatchingPlan(
            recipe=recipe,
            inner_steps=self.inner_steps,
            real_batch=self.real_batch,
            synthetic_batch=self.synthetic_batch,
            interval=self.interval,
            diverse=self.diverse,
            weights=self.weights,
            trajectories=self.trajectories,
            top_p=self.top_p,
        )
