"""Fair TDD: bi-level distillation into features, classes balanced and groups hidden."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import BenchmarkError
from benchmark.core.method import Budget, Method, register
from benchmark.core.parameters import require_at_least, require_positive
from benchmark.core.pool import Pool
from benchmark.core.states import shared_part
from benchmark.core.threads import fixed_threads

if TYPE_CHECKING:
    from methods.bilevel.learnable import Layout
    from methods.bilevel.outer import OuterPlan

PAPER = "han2022fair"


@register("fair-tdd", paper=PAPER)
@register("fair-tdd-balanced", paper=PAPER, adversary=0.0)
@register("fair-tdd-plain", paper=PAPER, adversary=0.0, balance="none")
class FairTDD(Method):
    """Learn features, labels and learning rates through a small network's training; fairly.

    Dataset distillation in the space of an encoder's frozen features (Han et al., 2022): the
    training of a network with one hidden layer is unrolled, as `tdd` does, and two things keep the
    bias of the training data out. Real rows are balanced before anything is learned, and the outer
    loss has an adversarial term: the hidden units of the trained network should not tell the group
    that a row is of. `fair-tdd-balanced` has no adversary, `fair-tdd-plain` neither.

    A set is of features and not of texts: only the learner `feature-mlp` with the same encoder and
    width can read it. It needs no GPU: a set takes a minute or two on a CPU.

    Different from the paper, as far as the survey tells it: features are an encoder's sentence
    vectors (DeepMoji and BERT there); the adversary is linear and fitted anew at every outer step,
    to one half of the batch at a time and asked about the other, so that steps depend on nothing
    but their own draw and noise is no group; the best step is the one with the lowest
    loss of classes on rows carved from the pool, which knows nothing of groups. Rows start from
    those of random real rows that are trained on, once balanced. Rates are first guesses, not
    tuned.

    Parameters
    ----------
    encoder : whose features are learned.
    hidden : width of the network.
    balance : real rows are thinned so that each `class`, or each `class-group` pair, has as many as
        the smallest has; or `none`.
    adversary : weight of the adversarial term.
    steps, learning_rate, batch : of the outer loop, see `OuterPlan`.
    passes : inner steps, each on all rows.
    inner_rate : first learning rate of the inner steps.
    labels : `soft`, or `hard` (the class, not learned).

    References
    ----------
    X. Han et al., "Towards fair dataset distillation for text classification", SustaiNLP 2022.
    """

    level = "embedding"
    reads_groups = True
    seeded_as = "fair-tdd"
    version = 3

    encoder: str = "minilm"
    hidden: int = 300
    balance: Literal["class", "class-group", "none"] = "class"
    adversary: float = 0.5
    steps: int = 1_000
    learning_rate: float = 0.02
    batch: int = 256
    passes: int = 10
    inner_rate: float = 2.0
    labels: Literal["soft", "hard"] = "soft"
    evaluate_every: int = 50
    selection_rows: int = 1_000

    toy = {"hidden": 8, "steps": 2, "batch": 8, "passes": 2, "evaluate_every": 1}

    def __post_init__(self) -> None:
        require_at_least(
            self, 1, "hidden", "steps", "batch", "passes", "evaluate_every", "selection_rows"
        )
        require_at_least(self, 0, "adversary")
        if self.adversary:
            require_at_least(self, 2, "batch")  # of one row nothing can be told about groups
        require_positive(self, "learning_rate", "inner_rate")

    @property
    def embeds_for(self) -> str:
        """The network, whose input the features stand in for."""
        from benchmark.core.feature_network import network_name

        return network_name(self.encoder, self.hidden)

    def distil(
        self, pool: Pool, budget: Budget, rng: np.random.Generator, state: Path | None = None
    ) -> DistilledSet:
        """Optimise one set, or take it where it was made before."""
        from benchmark.core.keys import fingerprint_array

        if pool.groups is None and self.adversary:
            raise BenchmarkError(
                f"task {pool.task!r}: {self.name} hides the groups of rows, and the task has none; "
                "a task names their column as `group`"
            )
        with tempfile.TemporaryDirectory() as temporary:
            parts = pool.services.parts or Path(temporary)
            parts.mkdir(parents=True, exist_ok=True)
            ingredients = {
                "features": fingerprint_array(np.asarray(pool.embed(self.encoder))),
                "groups": pool.groups_fingerprint,
                "version": self.version,
                "params": self.params(),
                "budget": list(budget.per_class),
                "seed": int(rng.integers(2**63)),
            }

            def make(partial: Path, rng: np.random.Generator) -> None:
                with fixed_threads():
                    self._optimise(pool, budget, partial, int(rng.integers(2**63)))

            folder = shared_part(parts / "set", pool, "features", ingredients, make)
            return self._read(pool, folder)

    def plan(self) -> OuterPlan:
        """The outer loop's settings."""
        from methods.bilevel.outer import OuterPlan

        return OuterPlan(
            self.steps, self.learning_rate, self.batch, evaluate_every=self.evaluate_every
        )

    def _optimise(self, pool: Pool, budget: Budget, folder: Path, seed: int) -> None:
        import torch

        from benchmark.core.feature_network import FeatureNetwork
        from benchmark.core.seeding import numpy_generator, seed_of
        from methods.bilevel.balancing import balanced, first_rows
        from methods.bilevel.carving import carve
        from methods.bilevel.feature_source import FeatureSource
        from methods.bilevel.learnable import Layout, Learnable
        from methods.bilevel.outer import OuterLoop
        from methods.bilevel.result import save

        layout: Layout = Layout(budget.per_class, self.passes, whole=True)
        words = f"{pool.task}: {self.name}, {sum(layout.per_class)} rows"
        rng = numpy_generator(seed_of("first-values", seed=seed))
        features = np.asarray(pool.embed(self.encoder))
        network = FeatureNetwork(features.shape[1], self.hidden, len(pool.classes))
        source = FeatureSource(network, features, pool.labels, pool.groups, self.adversary)
        training, selection = carve(pool.labels, self.selection_rows, rng)
        groups = pool.groups if self.balance == "class-group" else None
        if self.balance != "none":
            training = training[balanced(pool.labels[training], _at(groups, training), rng)]
        rows = first_rows(pool.labels, training, layout.labels, rng)
        start = torch.from_numpy(features[rows].astype(np.float32))[:, None]
        learnable = Learnable(layout, len(pool.classes), start, self.inner_rate, self.labels)
        OuterLoop(
            source, learnable, self.plan(), training, selection, pool.labels, folder, seed,
            pool.services.report, words,
        ).run()  # fmt: skip
        save(learnable, folder)

    def _read(self, pool: Pool, folder: Path) -> DistilledSet:
        from benchmark.core.native import NativeRecipe, embedding_set
        from methods.bilevel.result import Result

        result = Result.load(folder)
        recipe = NativeRecipe(self.embeds_for, result.order, result.rates, label_type=self.labels)
        labels = result.classes if self.labels == "hard" else result.labels
        return embedding_set(result.embeddings, labels, pool.classes, recipe, notes=result.notes)


def _at(values: Any, rows: np.ndarray) -> Any:
    return None if values is None else values[rows]
