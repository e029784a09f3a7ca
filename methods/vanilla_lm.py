"""Vanilla LM: rows sampled from a language model of the pool, the representative ones kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark.core.journal import Journal
from benchmark.core.method import Budget, Generator, register
from benchmark.core.needs import Needs
from benchmark.core.outline import Outline
from benchmark.core.parameters import require_at_least, require_positive
from benchmark.core.pool import Pool
from benchmark.core.states import shared_part, take_part
from benchmark.core.threads import fixed_threads
from methods.language_models.foresight import objection

if TYPE_CHECKING:
    from benchmark.core.finetune.recipe import Recipe

CPU = {"generator": "tiny", "lm_steps": 4_000, "lm_learning_rate": 1e-3, "lm_stop": "best"}
"""What a CPU does in minutes: a small generator trained from scratch on the pool."""


@register("vanilla-lm", paper="maekawa2024dilm")
@register("vanilla-lm-cpu", paper="maekawa2024dilm", **CPU)
class VanillaLM(Generator):
    """Sample rows of each class from a language model of the pool; keep k-means representatives.

    DiLM without its gradient matching, the paper's baseline of that name. A causal language model
    is trained on rows `<bos_c> TEXT <eos>` (pairs: `<bos_c> FIRST <sep> SECOND <eos>`), 80,000
    steps of 64 rows, AdamW at 1e-5, 5% warm-up, cosine, decay 0.01, clipped at 1, dropout 0.1
    (sections 3.2 and E). A set is made by sampling `oversample` times its size with top-p 0.95
    and keeping, class by class, the rows nearest the centroids of k-means on the encoder's features
    (section 3.4). The language model is trained once per task, for all budgets and sets.

    Different from the released code: its loss divides by the padded length of the batch, ours by
    the row's own, as equation 1 has it; its warm-up is 10%, the paper's table says 5%; `<sep>` has
    no spaces of its own around it; and it validates on the dev split that it reports, which is
    never seen here: the last step is taken, or the best on a split carved from the pool.

    Parameters
    ----------
    generator : catalogue name of a causal language model, or `tiny`: four layers of GPT-2, 256
        wide, with a BPE vocabulary of its own, trained from scratch on the pool.
    encoder : whose features the selection reads.
    lm_steps, lm_learning_rate, lm_batch : of the language-model phase.
    lm_stop : `last` step, as the paper, or `best`: the step with the lowest loss on 5% of the pool
        that are then not trained on. A generator from scratch would learn a small pool by heart.
    oversample : rows sampled for each row kept.
    selection : `k-centers`, or `none` to keep the first rows sampled (then nothing is oversampled).
    max_length : longest row in tokens; 0 means the longest row of the pool.
    precision : of training and sampling.

    References
    ----------
    Maekawa et al., "DiLM: Distilling Dataset into Language Model for Text-level Dataset
    Distillation", Findings of NAACL 2024.
    """

    generator: str = "gpt2"
    encoder: str = "minilm"
    lm_steps: int = 80_000
    lm_learning_rate: float = 1e-5
    lm_batch: int = 64
    lm_stop: Literal["last", "best"] = "last"
    oversample: int = 100
    selection: Literal["k-centers", "none"] = "k-centers"
    top_p: float = 0.95
    max_length: int = 0
    precision: Literal["bfloat16", "float32"] = "bfloat16"

    needs = Needs(gpus=1.0)
    toy = {
        "generator": "tiny",
        "lm_steps": 40,
        "lm_learning_rate": 1e-2,
        "lm_batch": 16,
        "oversample": 2,
        "max_length": 16,
        "precision": "float32",
    }

    def __post_init__(self) -> None:
        require_at_least(self, 1, "lm_steps", "lm_batch", "oversample")
        require_at_least(self, 0, "max_length")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must lie in (0, 1]")
        require_positive(self, "lm_learning_rate")

    @property
    def uses_external_lm(self) -> bool:  # type: ignore[override]
        """Whether the generator has read other text than the pool."""
        return self.generator != "tiny"

    @property
    def models(self) -> tuple[str, ...]:
        """The pretrained generator, if it is one."""
        return () if self.generator == "tiny" else (self.generator,)

    def refuses(self, outline: Outline, budget: Budget) -> str:
        """A generator that is no causal language model, or rows that it has no room for."""
        found = objection(self.generator, outline.models.get(self.generator), self.max_length)
        return f"{found} (--set {self.name}.generator, {self.name}.max_length)" if found else ""

    def phase_efforts(self) -> dict[str, float]:
        """Rows that the language model reads."""
        return {"language_model": self.lm_steps * self.lm_batch}

    def prepare(self, pool: Pool, rng: np.random.Generator, folder: Path) -> None:
        """Train the language model, or take the one that another variant has trained alike."""
        take(self.language_model(pool, folder), folder)
        self.look_at_labels(pool, folder)

    def look_at_labels(self, pool: Pool, folder: Path) -> None:
        """Note in the state how often generated rows are of the class that they should be."""
        from methods.language_models.generator import load
        from methods.language_models.label_agreement import note_label_agreement
        from methods.language_models.pretraining import GENERATOR

        with fixed_threads():
            note_label_agreement(
                pool, load(folder / GENERATOR), self.encoder, self.top_p, self.precision,
                Journal(folder),
            )  # fmt: skip

    def language_model(self, pool: Pool, folder: Path) -> Path:
        """Return the folder of the trained language model, shared by all that train it alike."""
        from benchmark.core.assets import model_fingerprint
        from methods.language_models.pretraining import LanguageModelPlan, train_language_model

        plan = LanguageModelPlan(
            self.generator, self.language_model_recipe(), self.max_length, self.lm_stop
        )
        models = {}
        if self.generator != "tiny":
            models[self.generator] = model_fingerprint(pool.services.model(self.generator))

        def make(partial: Path, rng: np.random.Generator) -> None:
            with fixed_threads():
                train_language_model(pool, plan, partial, rng)

        ingredients = {**asdict(plan), "models": models}
        return shared_part(folder, pool, "language-model", ingredients, make)

    def language_model_recipe(self) -> Recipe:
        """The recipe of the language-model phase."""
        from benchmark.core.finetune.recipe import Recipe

        return Recipe(
            steps=self.lm_steps,
            learning_rate=self.lm_learning_rate,
            warmup=0.05,
            batch_size=self.lm_batch,
            precision=self.precision,
        )

    def generate(
        self, pool: Pool, label: int, size: int, rng: np.random.Generator, state: Path | None
    ) -> Mapping[str, Sequence[str]]:
        """Sample, and keep the representative rows."""
        from methods.k_centers import kmeans_medoids
        from methods.language_models.generator import held
        from methods.language_models.pretraining import GENERATOR
        from methods.language_models.sampling import columns_of, sample_texts

        assert state is not None
        count = size if self.selection == "none" else size * self.oversample
        with fixed_threads():
            rows = sample_texts(
                held(state / GENERATOR),
                label,
                count,
                seed=int(rng.integers(2**63)),
                top_p=self.top_p,
                precision=self.precision,
            )
            columns = columns_of(pool.text_columns, rows)
            if self.selection == "none":
                return columns
            features = pool.services.encode(self.encoder, columns)
        chosen = kmeans_medoids(features, size, seed=int(rng.integers(2**32)))
        return {name: [texts[i] for i in chosen] for name, texts in columns.items()}


def take(part: Path, folder: Path, earlier: Sequence[Path] = ()) -> None:
    """Put the trained generator of a part into a state's folder, and what all parts noted.

    `earlier` are the parts that this one was made from.
    """
    from methods.language_models.pretraining import GENERATOR

    take_part(folder, GENERATOR, (*earlier, part))
