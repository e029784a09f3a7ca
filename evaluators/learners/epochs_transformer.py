"""The fine-tuned transformer with DaLLME's recipe: epochs and a linear schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.core.distilled import DistilledSet
from benchmark.core.learner import Outcome, Run, TestTexts, register_learner
from benchmark.core.parameters import require_at_least, require_positive
from evaluators.learners.transformer import Transformer
from evaluators.learning_rates import NOT_HELD_OUT, with_picked_rates

if TYPE_CHECKING:
    from benchmark.core.finetune.recipe import Recipe


@register_learner("transformer-epochs", paper="tao2024dallme")
class EpochsTransformer(Transformer):
    """Fine-tune as `transformer` does, by DaLLME's recipe (its appendix B.1) instead of DiLM's.

    20 epochs of AdamW, the rate falling linearly to zero without warm-up, at most 128 tokens. The
    paper says neither batch size nor weight decay: 8 rows, as the small networks of the same paper
    have here, and the convention of 0.01. It picks the rate out of 1e-5, 1e-4, 5e-4 and 5e-3 for
    each setting and does not say by which data. Here it is 1e-4, that of the grid which DiLM found
    as well, or, with `rates`, the best of these by cross-validation within the distilled set, the
    test split unseen: 4 folds, so that each rate costs what three further trainings of a set do.
    The catalogue's `distilbert-dallme` and `minilm-dallme` have the paper's grid.

    Without `rates`, sets of more than `full_threshold` rows are trained for `full_epochs` at
    `full_learning_rate`, as by every other fine-tuned learner. With them, the rate that was picked
    and `epochs` hold at any size: the paper trains for 20 epochs there too (its table 4 compares
    with a full training, and does not say whether its rate was picked anew).

    A set of embeddings is trained on by its own recipe and rates, as by `transformer`; with
    `native=false` and `rates` it is refused, as none of its rows can be held out.

    Parameters
    ----------
    epochs : passes over the set; `steps` outranks it where it is given.
    rates : learning rates to pick from, as `1e-5+1e-4+5e-4+5e-3`; none to take `learning_rate`.

    References
    ----------
    Y. Tao et al., "Textual dataset distillation via language model embedding", Findings of EMNLP
    2024.
    """

    recipe: Literal["dallme"] = "dallme"  # type: ignore[assignment]
    epochs: int = 20
    learning_rate: float | None = 1e-4
    warmup: float = 0.0
    batch_size: int = 8
    max_length: int = 128
    full_learning_rate: float | None = 2e-5
    rates: tuple[float, ...] = ()

    recipes = ()
    version = 3

    def __post_init__(self) -> None:
        require_at_least(self, 1, "epochs", "batch_size", "max_length", "full_epochs")
        require_positive(self, "learning_rate", "full_learning_rate", "rates")

    def refuses(self, distilled: DistilledSet) -> str | None:
        if self.rates and distilled.level == "embedding" and not self.native:
            return NOT_HELD_OUT
        return super().refuses(distilled)

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        """Train, at the rate that is best for each set if there is a choice."""
        if not self.rates:
            return super().fit_predict(runs, test, models)
        return with_picked_rates(self, runs, test, models)

    def params(self) -> dict[str, Any]:
        """All parameters: the recipe's name says that the schedule is linear."""
        return super(Transformer, self).params()

    def training(self, n_rows: int) -> Recipe:
        """How a set of `n_rows` is trained on."""
        from benchmark.core.finetune.recipe import LinearRecipe

        assert self.learning_rate is not None
        assert self.full_learning_rate is not None
        recipe = LinearRecipe(
            self.steps or 1,
            self.learning_rate,
            self.warmup,
            self.weight_decay,
            self.clip,
            self.dropout,
            self.batch_size,
            self.precision,
        )
        if n_rows > self.full_threshold and not self.rates:
            return recipe.for_epochs(n_rows, self.full_epochs, self.full_learning_rate)
        if self.steps:
            return recipe
        return recipe.for_epochs(n_rows, self.epochs, self.learning_rate)
