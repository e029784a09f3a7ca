"""DaLLME: centroids in embedding space, turned into text by an inverter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import BenchmarkError
from benchmark.core.journal import Journal
from benchmark.core.method import Budget, Method, register
from benchmark.core.needs import Needs
from benchmark.core.outline import Outline
from benchmark.core.parameters import require_at_least, require_positive
from benchmark.core.pool import Pool
from benchmark.core.states import shared_part, take_part
from benchmark.core.threads import fixed_threads
from methods.centroids import Clustering, nearest_rows
from methods.language_models.foresight import SHORTEST_ROW

if TYPE_CHECKING:
    from benchmark.core.finetune.recipe import Recipe
    from methods.inversion.correction import Inversion

CPU: dict[str, Any] = {
    "inverter": "tiny",
    "max_length": 64,
    "steps": 3_000,
    "corrector_steps": 1_500,
    "batch_size": 64,
    "inverter_rows": 8_000,
}
"""What a CPU does in an hour: a small inverter from scratch, at most 64 tokens, 8,000 rows."""

LOOKED_AT = 10
"""Centroids of each class whose inversion is looked at once per task."""


@register("dallme", paper="tao2024dallme")
@register("dallme-gmm", paper="tao2024dallme", clustering="gmm")
@register("dallme-cpu", paper="tao2024dallme", **CPU)
class DaLLME(Method):
    """Cluster each class in embedding space and write the centroids as texts.

    Rows are embedded; k-means within each class gives the centroids (section 3.2 and appendix
    B.2; the paper does not say how classes are kept apart); an inverter turns them into text
    (section 3.2, "embedding-to-text"). The inverter is vec2text: a zero-step model, then
    `corrections` rounds in which a corrector sees target, hypothesis and the embedding of the
    hypothesis, ranked by cosine. It is trained on the task's pool alone, once for all budgets, sets
    and kinds of centroids; all centroids of a set are corrected together.

    Where the paper is silent: centroids are put back on the unit sphere (`renormalise`), since an
    inverter has seen nothing but unit vectors; the inverter is trained on rows cut to `max_length`
    tokens and on the embeddings of what is left; its rate warms up and decays. `steps` are not
    chosen by a score: the paper finds a middle quality best (figure 3) and measures it on test
    data; here a variant with other `steps` is another method. A text is never blank and a pair is
    always two texts, by what the inverter may write.

    The journal of the state holds BLEU, token F1, exact match and cosine of held-out rows after 0,
    1, 5 and 20 corrections (a beam of one), and for 10 centroids of each class the mean cosine of
    centroid and text, beside that of centroid and nearest real row. Each set carries the
    cosine of each of its texts with its centroid (`show`), their mean and the least. Its centroids
    are those of the set of `dallme-nearest` with the same index.

    Correction differs from vec2text's in this: a hypothesis is replaced by a better one only, and
    ends where no new one is better, so that more rounds never make a text worse.

    Parameters
    ----------
    encoder : whose features are clustered and inverted; `NAME-prompt` for a prompt of the task.
    clustering : `kmeans`, or `gmm`, the means of a Gaussian mixture.
    restarts : starts of the clustering.
    renormalise : whether centroids get the length of rows.
    inverter : catalogue name of a T5, or `tiny`: two layers on either side, 256 wide, with a BPE
        vocabulary of its own, from scratch.
    inverter_rows : rows of the pool that it is trained on at most; 0 for all.
    max_length : tokens of a row, end included.
    steps, corrector_steps, learning_rate, batch_size : of the two models' training, AdamW. The
        paper and vec2text train for epochs, 100 of them; 20,000 steps are those of 25,000 rows.
        With `corrector_steps=0` and `corrections=0` there is the zero-step model alone.
    corrections, beam : rounds of correction, and hypotheses kept in each.
    precision : of training and writing.

    References
    ----------
    Y. Tao et al., "Textual dataset distillation via language model embedding", Findings of EMNLP
    2024.
    J. Morris et al., "Text embeddings reveal (almost) as much as text", EMNLP 2023.
    """

    encoder: str = "minilm"
    clustering: Literal["kmeans", "gmm"] = "kmeans"
    restarts: int = 1
    renormalise: bool = True
    inverter: str = "t5-base"
    inverter_rows: int = 0
    max_length: int = 128
    steps: int = 20_000
    corrector_steps: int = 20_000
    learning_rate: float = 1e-3
    batch_size: int = 128
    corrections: int = 20
    beam: int = 1
    precision: Literal["bfloat16", "float32"] = "bfloat16"

    draws_rows = True
    needs = Needs(gpus=1.0)
    seeded_as = "dallme-nearest"  # the same centroids as its control, set for set
    toy = {
        "inverter": "tiny",
        "max_length": 16,
        "steps": 8,
        "corrector_steps": 4,
        "batch_size": 8,
        "corrections": 1,
        "precision": "float32",
    }

    def __post_init__(self) -> None:
        require_at_least(self, 1, "restarts", "steps", "batch_size", "beam")
        require_at_least(self, SHORTEST_ROW, "max_length")
        require_at_least(self, 0, "corrector_steps", "corrections", "inverter_rows")
        if self.corrections and not self.corrector_steps:
            raise ValueError(
                f"corrections is {self.corrections} and corrector_steps is 0: there is no corrector"
            )
        require_positive(self, "learning_rate")

    @property
    def uses_external_lm(self) -> bool:  # type: ignore[override]
        """Whether the inverter has read other text than the pool."""
        return self.inverter != "tiny"

    @property
    def models(self) -> tuple[str, ...]:
        """The pretrained inverter, if it is one."""
        return () if self.inverter == "tiny" else (self.inverter,)

    def refuses(self, outline: Outline, budget: Budget) -> str:
        """Refuse an inverter that is no sequence-to-sequence model."""
        from benchmark.core.assets import is_seq2seq

        folder = outline.models.get(self.inverter)
        if folder is None or is_seq2seq(folder):
            return ""
        return f"inverter = {self.inverter!r} is no encoder-decoder; a T5 is meant, or tiny"

    def phase_efforts(self) -> dict[str, float]:
        """Rows that the inverter and its corrector read."""
        return {
            "inverter": self.steps * self.batch_size,
            "corrector": self.corrector_steps * self.batch_size,
        }

    def prepare(self, pool: Pool, rng: np.random.Generator, folder: Path) -> None:
        """Train the inverter, or take the one there is; look at some centroids."""
        from methods.inversion.training import INVERTER

        take_part(folder, INVERTER, [self._trained(pool, folder)])
        journal = Journal(folder)
        with journal.phase("centroids"), fixed_threads():
            sizes = np.minimum(pool.class_counts(), LOOKED_AT)
            centres = self._centres(pool, Budget(tuple(sizes.tolist())), rng)
            found = self._inversion(pool, folder).invert(centres, self.corrections)
            journal.find("centroid_cosine", float(np.mean([h.cosine for h in found])))
            features = np.asarray(pool.embed(self.encoder))
            near = features[nearest_rows(features, centres)]
            journal.find("centroid_cosine_of_nearest_rows", _mean_cosine(near, centres))

    def distil(
        self, pool: Pool, budget: Budget, rng: np.random.Generator, state: Path | None = None
    ) -> DistilledSet:
        """Invert the centroids of all classes together."""
        assert state is not None
        with fixed_threads():
            centres = self._centres(pool, budget, rng)
            found = self._inversion(pool, state).invert(centres, self.corrections)
        columns = {
            name: [h.texts[place] for h in found] for place, name in enumerate(pool.text_columns)
        }
        labels = np.repeat(np.arange(len(pool.classes)), budget.per_class)
        cosines = [h.cosine for h in found]
        notes = {"centroid_cosine": float(np.mean(cosines)), "centroid_cosine_least": min(cosines)}
        each = {"centroid_cosine": cosines}
        return DistilledSet.of_texts(columns, labels, pool.classes, notes=notes, row_notes=each)

    def _trained(self, pool: Pool, folder: Path) -> Path:
        """Folder of the trained inverter, shared by all that train it alike."""
        from benchmark.core.assets import model_fingerprint
        from methods.inversion.training import InverterPlan, train_inverter

        plan = InverterPlan(
            self.inverter,
            self.encoder,
            self.max_length,
            self._recipe(self.steps),
            self._recipe(self.corrector_steps) if self.corrector_steps else None,
            self.inverter_rows,
        )
        models = {name: model_fingerprint(pool.services.model(name)) for name in self.models}

        def make(partial: Path, rng: np.random.Generator) -> None:
            with fixed_threads():
                train_inverter(pool, plan, partial, rng)

        # The features stand for the encoder: its files, its settings and the task's prompt.
        features = _fingerprint(pool.embed(self.encoder))
        ingredients = {**asdict(plan), "models": models, "features": features}
        if self.version > 1:
            ingredients["version"] = self.version
        return shared_part(folder, pool, "inverter", ingredients, make)

    def _recipe(self, steps: int) -> Recipe:
        from benchmark.core.finetune.recipe import Recipe

        return Recipe(
            steps=steps,
            learning_rate=self.learning_rate,
            warmup=0.1,
            batch_size=self.batch_size,
            precision=self.precision,
        )

    def _centres(self, pool: Pool, budget: Budget, rng: np.random.Generator) -> np.ndarray:
        """Centroids of all classes, class after class, shape (budget, d)."""
        clustering = Clustering(self.clustering, self.restarts, self.renormalise)
        centres = []
        for label, size in enumerate(budget.per_class):
            if size == 0:
                continue
            features = np.asarray(pool.of_class(label).embed(self.encoder))
            try:
                centres.append(clustering.centres(features, size, int(rng.integers(2**32))))
            except BenchmarkError as error:
                where = f"task {pool.task!r}, class {pool.classes[label]!r}"
                raise BenchmarkError(f"{where}: {error}") from error
        if not centres:
            raise BenchmarkError(f"task {pool.task!r}: the budget is no example at all")
        return np.concatenate(centres)

    def _inversion(self, pool: Pool, state: Path) -> Inversion:
        from methods.inversion.correction import Inversion
        from methods.inversion.inverter import held
        from methods.inversion.training import INVERTER, embedder

        inverter = held(state / INVERTER)
        dimension = pool.embed(self.encoder).shape[1]
        if dimension != inverter.dimension:
            raise BenchmarkError(
                f"encoder {self.encoder!r} gives {dimension} numbers a text, but the inverter in "
                f"{state} was trained for {inverter.dimension}: prepare it with this encoder"
            )
        return Inversion(inverter, embedder(pool, self.encoder), self.beam, self.precision)


def _mean_cosine(a: Sequence[np.ndarray] | np.ndarray, b: np.ndarray) -> float:
    from methods.inversion.correction import cosine

    return float(np.mean([cosine(x, y) for x, y in zip(a, b, strict=True)]))


def _fingerprint(features: np.ndarray) -> str:
    from benchmark.core.keys import fingerprint_array

    return fingerprint_array(features)
