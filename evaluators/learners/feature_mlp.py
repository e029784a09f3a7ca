"""A small network on frozen features: reads texts, and sets of features by their own recipe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.effort import LOADING, Effort
from benchmark.core.feature_network import network_name
from benchmark.core.learner import Learner, Outcome, Run, TestTexts, register_learner
from benchmark.core.parameters import require_at_least

if TYPE_CHECKING:
    import torch

    from benchmark.core.feature_network import FeatureNetwork
    from benchmark.core.finetune.embedded import Weights


@register_learner("feature-mlp", paper="han2022fair")
class FeatureMLP(Learner):
    """One hidden layer of 300 rectified units on an encoder's frozen features.

    Sets of texts are encoded and trained on with AdamW (1e-2, decay 0.01, no schedule) for 200
    steps of all rows, at most 256 of them, and for three passes where a set has more. A set of
    features that `fair-tdd` made for this encoder and width is trained on by its native recipe: its
    own steps and learning rates. Both begin from the same weights, drawn from the run's seed.

    Source: Han et al. (2022) judge fair distillation by a network of this kind on frozen text
    representations. The survey gives no more of their recipe; this one is the benchmark's.

    Parameters
    ----------
    encoder : name of the encoder; its test features are computed once per task and cached.
    hidden : hidden units.

    References
    ----------
    X. Han et al., "Towards fair dataset distillation for text classification", SustaiNLP 2022.
    """

    levels = ("text", "embedding")

    encoder: str = "minilm"
    hidden: int = 300
    steps: int = 200
    learning_rate: float = 1e-2
    weight_decay: float = 0.01
    batch_size: int = 256
    epochs: int = 3

    def __post_init__(self) -> None:
        require_at_least(self, 1, "hidden", "steps", "batch_size", "epochs")

    def reads_embeddings_for(self, model: str) -> bool:
        return model == network_name(self.encoder, self.hidden)

    def refuses(self, distilled: DistilledSet) -> str | None:
        made_for = str((distilled.recipe or {}).get("model"))
        if distilled.level == "embedding" and not self.reads_embeddings_for(made_for):
            return f"embedding-level set for {made_for}"
        return super().refuses(distilled)

    def effort(self, rows: np.ndarray, test: np.ndarray, n_classes: int) -> Effort:
        """Rows that pass through the network."""
        seen = self._steps(len(rows)) * min(len(rows), self.batch_size)
        return Effort(1000.0 + seen, 1000.0 + len(test), LOADING + test.sum())

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        import torch

        from benchmark.core.feature_network import FeatureNetwork
        from benchmark.core.finetune.training import DivergedError

        features = torch.from_numpy(np.array(test.features(self.encoder), dtype=np.float32))
        network = FeatureNetwork(features.shape[1], self.hidden, len(test.classes))
        for run in runs:
            if (why := self.refuses(run.distilled)) is not None:
                yield Outcome(None, error=why)
                continue
            begun = time.perf_counter()
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # bits do not depend on how sums are cut up
            try:
                weights, loss = self._train(network, run, test)
                trained = time.perf_counter()
                with torch.no_grad():
                    logits = network.logits(weights, features).numpy()
            except DivergedError as error:
                yield Outcome(None, time.perf_counter() - begun, error=f"DivergedError: {error}")
                continue
            finally:
                torch.set_num_threads(threads)
            done = time.perf_counter()
            yield Outcome(logits, trained - begun, done - trained, extra={"last_loss": loss})

    def _train(self, network: FeatureNetwork, run: Run, test: TestTexts) -> tuple[Weights, float]:
        from benchmark.core.native_steps import take_native_steps

        start = network.start(run.seed)
        if run.distilled.level == "embedding":
            return take_native_steps(start, run.distilled, lambda w, rows, _: network.loss(w, rows))
        features = np.array(test.embed_set(self.encoder, run.distilled), dtype=np.float32)
        return self._adam(network, start, features, run)

    def _adam(
        self, network: FeatureNetwork, start: Weights, features: np.ndarray, run: Run
    ) -> tuple[Weights, float]:
        import torch

        from benchmark.core.finetune.batches import training_batches
        from benchmark.core.finetune.training import DivergedError
        from benchmark.core.seeding import numpy_generator, seed_of

        weights = {name: w.requires_grad_() for name, w in start.items()}
        optimiser = torch.optim.AdamW(
            weights.values(), self.learning_rate, weight_decay=self.weight_decay
        )
        inputs, targets = torch.from_numpy(features), self._targets(run.distilled)
        order = numpy_generator(seed_of("batch-order", seed=run.seed))
        n, loss = len(inputs), torch.tensor(0.0)
        for rows in training_batches(n, min(n, self.batch_size), self._steps(n), order):
            logits = network.logits(weights, inputs[rows])
            loss = -(targets[rows] * logits.log_softmax(1)).sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if not bool(loss.isfinite()):
            raise DivergedError(f"the loss became {float(loss)}")
        return {name: w.detach() for name, w in weights.items()}, float(loss.detach())

    def _targets(self, distilled: DistilledSet) -> torch.Tensor:
        import torch

        if distilled.is_soft:
            return torch.from_numpy(np.array(distilled.labels))
        return torch.eye(len(distilled.classes))[torch.from_numpy(np.array(distilled.labels))]

    def _steps(self, n_rows: int) -> int:
        if n_rows <= self.batch_size:
            return self.steps
        return max(self.steps, self.epochs * n_rows // self.batch_size)
