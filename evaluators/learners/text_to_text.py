"""A T5 that answers a text with the name of its class, fine-tuned whole or by LoRA."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.core.effort import LOADING, Effort
from benchmark.core.errors import UnavailableError
from benchmark.core.learner import Learner, Outcome, Run, TestTexts, register_learner
from benchmark.core.needs import Needs
from benchmark.core.parameters import require_at_least, require_positive
from evaluators.learning_rates import with_picked_rates

if TYPE_CHECKING:
    from benchmark.core.finetune.recipe import Recipe

STEP = 200.0


@register_learner("text-to-text", paper="tao2024dallme")
class TextToText(Learner):
    """Fine-tune a T5 to write the class's name; predict the name that it finds most probable.

    The input is the text, of a pair both with the names of their columns before them; what is too
    long loses the end of its longer text. The target is
    the class's name, underscores read as spaces. A class's score is the log-probability of its
    whole name with the end, so that nothing is ever written that is no class. Recipe as of
    `transformer-epochs`: 20 epochs, linear, 128 tokens (appendix B.1 of the paper); the rate is
    5e-4, the one of its grid nearest to the 1e-3 that T5 was fine-tuned with, or picked from
    `rates` as there, after which it and `epochs` hold for full data too. The paper does not say how
    T5 is asked for a class, nor in which form the rows of a pair are given, nor batch size, weight
    decay and LoRA's scale, nor which data its rate is picked on. Soft labels weight the names.

    With `lora_rank`, `peft`'s LoRA trains low-rank updates of the queries and values alone: of
    T5-base 0.4% of the weights for rank 8, 0.8% for 16, the two of the paper's table 4. Each run
    starts from a fresh copy of the pretrained weights. `extra` tells the share that was trained.
    The paper names neither its ranks nor rates of their own for them: the catalogue's
    `t5-base-lora-8` and `t5-base-lora-16` pick from the grid of `t5-base`.

    Parameters
    ----------
    model : name of a T5 in the catalogue.
    lora_rank : 0 to train all weights.
    full_threshold, full_epochs, full_learning_rate : as of `transformer`; unused with `rates`.
    rates : as of `transformer-epochs`.

    References
    ----------
    Y. Tao et al., "Textual dataset distillation via language model embedding", Findings of EMNLP
    2024.
    C. Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text
    transformer", JMLR 21, 2020.
    E. Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.
    """

    version = 2
    threaded = True
    needs = Needs(gpus=0.5)

    model: str
    epochs: int = 20
    learning_rate: float = 5e-4
    batch_size: int = 8
    max_length: int = 128
    weight_decay: float = 0.01
    clip: float = 1.0
    lora_rank: int = 0
    full_threshold: int = 2000
    full_epochs: int = 3
    full_learning_rate: float = 1e-4
    rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require_at_least(self, 1, "epochs", "batch_size", "max_length", "full_epochs")
        require_at_least(self, 0, "lora_rank")
        require_positive(self, "learning_rate", "full_learning_rate", "rates")

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        """Train run after run; each from the pretrained weights."""
        if self.rates:
            yield from with_picked_rates(self, runs, test, models)
            return
        from evaluators.text_to_text.training import Namer, train_and_score

        if self.lora_rank and importlib.util.find_spec("peft") is None:
            raise UnavailableError(
                f"{self.name}: LoRA needs the package peft; "
                "pip install -c constraints.txt -e '.[peft]'"
            )
        namer = Namer.load(Path(models[self.model]), test.classes, self.max_length)
        key = ("text-to-text", str(models[self.model]), self.max_length)
        if key not in test.scratch:
            test.scratch[key] = namer.read(test.columns)
        for run in runs:
            columns = {name: (run.distilled.columns or {})[name] for name in test.columns}
            yield train_and_score(
                namer,
                self.training(len(run.distilled)),
                namer.read(columns),
                run.distilled.labels,
                test.scratch[key],
                run.seed,
                self.lora_rank,
            )

    def effort(self, rows: np.ndarray, test: np.ndarray, n_classes: int) -> Effort:
        """Tokens, those that train three times, and the cost of a step, which is that of some."""
        ours, theirs = (np.minimum(1.4 * words + 2, self.max_length) for words in (rows, test))
        training = self.training(len(rows))
        batch = training.rows_per_step(len(rows)) * ours.mean()
        tokens = theirs.sum() + 4.0 * n_classes * len(test)
        return Effort(3 * training.steps * (STEP + batch), tokens, LOADING + test.sum())

    def training(self, n_rows: int) -> Recipe:
        """How a set of `n_rows` is trained on."""
        from benchmark.core.finetune.recipe import LinearRecipe

        recipe = LinearRecipe(
            1, self.learning_rate, 0.0, self.weight_decay, self.clip, 0.1, self.batch_size
        )
        if n_rows > self.full_threshold and not self.rates:
            return recipe.for_epochs(n_rows, self.full_epochs, self.full_learning_rate)
        return recipe.for_epochs(n_rows, self.epochs, self.learning_rate)
