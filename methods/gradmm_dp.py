"""GRADMM with differential privacy: real gradients are clipped and noised before they are used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark.core.errors import UnavailableError
from benchmark.core.journal import Journal
from benchmark.core.method import register
from benchmark.core.parameters import require_positive
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from methods.gradmm import SMOLLM2, GradMM
from methods.readable.accounting import least_epsilon, too_small

if TYPE_CHECKING:
    import torch

    from methods.readable.learners import GradientLearner
    from methods.readable.private import Mechanism


@register("gradmm-dp", paper="nguyen2025gradmm")
@register("gradmm-dp-cpu", paper="nguyen2025gradmm", **SMOLLM2)
class GradMMDP(GradMM):
    """Write readable rows from gradients that were released with differential privacy.

    Every look at the training rows is a release: each row of the class is sampled with the same
    probability (`real_rows` of them on average, or all where there are fewer), gradients are
    clipped one by one, and Gaussian noise is added to their sum. An accountant (Rényi, of Opacus)
    composes *all* releases that a row can be in: one for each batch of candidates of its class, and
    one for the ranking, which the paper's code makes without noise. The noise is the least that
    keeps the smallest class, whose rows are sampled most often, within `epsilon` at `delta`; what
    was spent stands beside every set. All sets of a task are chosen from the same candidates, and
    so cost nothing more.

    Nothing else reads the training rows: texts have a given length, the language model is a
    pretrained one, a row's label is checked by the prompted model alone. Public are the number of
    rows of each class, class names, and the model; neighbouring data sets therefore have as many
    rows, and one of them is replaced by an empty row that contributes no gradient (zero-out).

    *Privacy is simulated.* Samples and noise come from the protocol's published seed, so that
    results can be repeated: whoever has the seed can take the noise off, and the sets of this
    benchmark protect nobody's data. `epsilon` is what the mechanism would cost with secret
    randomness. Samples and noise are other ones for all other parameters and rows, and so one set
    of releases is no key to another; with secret randomness too, releases of the same rows with
    several parameters would cost the sum of their epsilons.

    Different from the paper and its code: they fix the noise by the classical bound for one release
    of a class, call the mechanism anew for every batch without composing, and rank on the plain
    gradients afterwards. Here the softmax is over the label words by default (`vocabulary`), as the
    noise has the size of the gradient: two rows for two classes instead of one for every token.

    Parameters
    ----------
    epsilon, delta : what all releases together may cost. An epsilon that the accountant can't
        reach at this delta is refused.
    clip : largest norm of a row's gradient.

    The others are `gradmm`'s.

    References
    ----------
    D. Nguyen et al., "Synthetic text generation for training large language models via gradient
    matching", ICML 2025.
    M. Abadi et al., "Deep learning with differential privacy", CCS 2016.
    """

    epsilon: float = 8.0
    delta: float = 1e-5
    clip: float = 1.0
    vocabulary: Literal["all", "labels"] = "labels"
    length: int = 24
    filter: Literal["features", "prompt", "none"] = "prompt"
    real_rows: int = 200

    toy = {
        **GradMM.toy,
        "learner": "phi-1.5",
        "head": "prompt",
        "writer": "",
        "writer_steps": GradMM.writer_steps,
        "epsilon": 4.0,
        "real_rows": 4,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.epsilon > 0:
            raise ValueError(f"epsilon is {self.epsilon}; a privacy budget must be above 0")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta is {self.delta}; it must lie between 0 and 1")
        if self.epsilon <= (least := least_epsilon(self.delta)):
            raise ValueError(too_small(self.epsilon, self.delta, least))
        require_positive(self, "clip")
        private = {
            "head": self.head == "prompt",
            "writer": self.writer != "tiny",
            "filter": self.filter != "features",
            "length": self.length > 0,
        }
        for name, fine in private.items():
            if not fine:
                raise ValueError(
                    f"{name} = {getattr(self, name)!r} reads the training rows without noise, "
                    "which no epsilon would cover"
                )

    def ignored(self) -> dict[str, str]:
        """No row is kept from the writing, so that none is selected for the ranking."""
        return {**super().ignored(), "selection": "all rows are ranked on, with noise"}

    def lacks(self) -> str:
        """The accountant's library, where it is not installed."""
        from methods.readable.accounting import require_accountant

        try:
            require_accountant()
        except UnavailableError as error:
            return str(error)
        return ""

    def prepare(self, pool: Pool, rng: np.random.Generator, folder: Path) -> None:
        """Write and rank the candidates, and note what privacy that cost."""
        from methods.readable.accounting import require_accountant, spent

        require_accountant()
        mechanisms = self._mechanisms(pool)  # before any work, for it may raise
        super().prepare(pool, rng, folder)
        noise, rate = mechanisms[0].noise, max(mechanism.rate for mechanism in mechanisms)
        journal = Journal(folder)
        journal.find("noise_multiplier", noise)
        journal.find("releases", self.releases)
        journal.find("epsilon", spent(noise, rate, self.releases, self.delta))

    @property
    def releases(self) -> int:
        """Noised gradients that a row can be in: one a batch of candidates, and the ranking's."""
        return -(-self.candidates // self.rows_at_once) + 1

    def notes(self, state: Path) -> Mapping[str, float]:
        """The privacy that the sets of this state cost, all together."""
        return {"epsilon": float(Journal(state).findings()["epsilon"]), "delta": self.delta}

    def split(self, pool: Pool, rng: np.random.Generator) -> tuple[Pool, Pool]:
        """All rows for both: noise, and not a split, is what keeps ranking apart from writing."""
        return pool, pool

    def gradient(
        self, learner: GradientLearner, pool: Pool, label: int, rng: np.random.Generator, use: str
    ) -> torch.Tensor:
        """A noised gradient of a Poisson sample of the class, where the learner is.

        It is noised on the CPU, so that its noise is the same on every machine.
        """
        mechanism = self._mechanisms(pool)[label]
        rng = self._randomness(mechanism, pool, rng)
        members = np.flatnonzero(pool.labels == label)
        rows = mechanism.sample(members, rng)
        layer = None
        if len(rows):
            layer = learner.layer_of_tokens(learner.rows_of(pool, rows), label)
        shape = learner.gradient_shape
        group = learner.predictions(label)
        released = mechanism.release(layer, group, len(members), shape, rng)
        return released.to(learner.table.device)

    def _randomness(
        self, mechanism: Mechanism, pool: Pool, rng: np.random.Generator
    ) -> np.random.Generator:
        """Of one release: another for every parameter, pool, noise and rate.

        The same noise in two sizes, or on two gradients, could be solved for.
        """
        seed = seed_of(
            "private-release",
            seed=int(rng.integers(2**63)),
            task=pool.task,
            pool=pool.fingerprint,
            noise=mechanism.noise,
            rate=mechanism.rate,
            params=json.dumps(self.params(), sort_keys=True),
        )
        return numpy_generator(seed)

    def _mechanisms(self, pool: Pool) -> list[Mechanism]:
        """One for each class, whose rows are sampled at a rate of their own, all with one noise.

        A row is of one class, so that the costs of classes do not add up (parallel composition):
        the noise that the largest rate needs is enough for the others.
        """
        from methods.readable.accounting import noise_for
        from methods.readable.private import Mechanism

        rates = [min(1.0, self.real_rows / int(count)) for count in pool.class_counts()]
        noise = noise_for(self.epsilon, self.delta, max(rates), self.releases)
        return [Mechanism(self.clip, noise, rate) for rate in rates]
