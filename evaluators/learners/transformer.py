"""A pretrained transformer with a classification head, fine-tuned on the distilled set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.effort import LOADING, Effort
from benchmark.core.learner import Learner, Outcome, Run, TestTexts, register_learner
from benchmark.core.needs import Needs

if TYPE_CHECKING:
    from benchmark.core.finetune.pretrained import Pretrained
    from benchmark.core.finetune.recipe import Recipe
    from benchmark.core.finetune.tokens import Ragged

STEP = 60.0
SET_BY_RECIPE = ("steps", "learning_rate", "full_learning_rate")
PANEL = {
    "dilm": (200, 1e-4, 2e-5),
    "short": (50, 1e-4, 2e-5),
    "long": (1000, 2e-5, 2e-5),
    "frozen": (200, 1e-2, 1e-2),
}


@register_learner("transformer", paper="maekawa2024dilm")
class Transformer(Learner):
    """Fine-tune any model that `AutoModelForSequenceClassification` loads, as DiLM does.

    Recipe `dilm`, the default: AdamW at 1e-4, 200 steps, linear warm-up over the first half, cosine
    to 0 over the second; gradient norm clipped at 1.0; dropout 0.1 everywhere; batches of
    min(64, n) rows, shuffled each epoch, the last short batch dropped; texts truncated at 512
    tokens, sentence pairs encoded as pairs; bfloat16 autocast (float32 on machines without it). The
    weights of the last step are evaluated: nothing is selected. Soft labels are trained on by
    cross-entropy with probabilities.

    Weight decay is 0.01, none on biases and layer norms. The paper gives no exception for the
    learner; its released code makes this one for the language model, and it is the convention of
    the transformers library, so that one rule serves both.

    The head is Hugging Face's own for each family (for BERT the pooler, dropout and a linear
    layer), as the released code has it. The paper's text differs: it describes a linear layer on
    the last hidden state. The head is drawn from the run's seed.

    Sets of more than `full_threshold` rows (the full training set) are trained for `full_epochs`
    epochs at `full_learning_rate`, the rest of the recipe unchanged.

    A set of input embeddings (TDD and its family) for this very model is trained on by its native
    recipe: the steps, order and learning rates that it carries, in float32 without dropout. With
    `native=false` the recipe above takes its rows and labels alone. Sets of embeddings for another
    model are refused.

    Causal language models (Llama, OPT, Phi, SmolLM2) have a linear head without bias on a row's
    last token; rows are padded on the right, where no token looks. Dropout is what the family has:
    of attention alone for Llama and SmolLM2. They know no recipe `frozen`.

    Seeds of a set train side by side where that is faster, which changes no bit.

    The other recipes ask whether an order of methods is the recipe's doing; `@recipe=panel` stands
    for all four. They are this benchmark's, no paper's, and differ from `dilm` in this alone:

    * `short`: 50 steps at 1e-4, a quarter of the steps at the same rate: a set must teach quickly.
    * `long`: 1,000 steps at 2e-5. The rate is the lowest that BERT's authors fine-tune with, and a
      common one; five times the steps make up for a fifth of the rate.
    * `frozen`: 200 steps at 1e-2 of the head alone. The pretrained body (with BERT's pooler, where
      the checkpoint has one) is not trained and drops nothing out; the heads of all runs train side
      by side in float32, from the same first weights and on the same batches as under `dilm`.
      The rate was chosen on held-out *training* rows of SST-2, TREC and banking77 at 5 and 20 per
      class (MiniLM): 1e-4 learns nothing there (banking77: 0.11 right at 5 per class, 0.63 at
      1e-2); 3e-2 suits a lone linear layer better and a head of two layers worse.

    They apply to sets of up to `full_threshold` rows; larger ones are trained as said above, with
    `frozen` at its own rate.

    Parameters
    ----------
    model : name of a pretrained model in the catalogue.
    recipe : `dilm`, `short`, `long` or `frozen`.
    steps, learning_rate, full_learning_rate : None for the recipe's own; a number outranks it.
    engine : `"auto"` packs rows without padding where the architecture is known (BERT, RoBERTa,
        DistilBERT, MPNet) and pads otherwise; `"padded"` always pads. Both compute the same; their
        dropout masks differ.
    native : whether embedding-level sets are trained on by the recipe that they carry.

    References
    ----------
    Maekawa et al., "DiLM: Distilling Dataset into Language Model for Text-level Dataset
    Distillation", Findings of NAACL 2024.
    Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", NAACL 2019.
    """

    recipes = tuple(PANEL)
    threaded = True
    needs = Needs(gpus=0.5)
    levels = ("text", "embedding")

    model: str
    recipe: Literal["dilm", "short", "long", "frozen"] = "dilm"
    steps: int | None = None
    learning_rate: float | None = None
    warmup: float = 0.5
    weight_decay: float = 0.01
    clip: float = 1.0
    dropout: float = 0.1
    batch_size: int = 64
    max_length: int = 512
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    full_threshold: int = 2000
    full_epochs: int = 3
    full_learning_rate: float | None = None
    engine: Literal["auto", "padded"] = "auto"
    native: bool = True

    version = 2
    side_by_side = 0  # runs trained together; no parameter, as it changes no result; 0 chooses

    def __post_init__(self) -> None:
        for name, value in zip(SET_BY_RECIPE, PANEL[self.recipe], strict=True):
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    def params(self) -> dict[str, Any]:
        """Return the recipe's numbers; its name only where they do not say everything."""
        params = super().params()
        if self.recipe != "frozen":
            del params["recipe"]
        if self.native:
            del params["native"]
        return params

    def reads_embeddings_for(self, model: str) -> bool:
        return super().reads_embeddings_for(model) and self.recipe != "frozen"

    def refuses(self, distilled: DistilledSet) -> str | None:
        if distilled.level == "embedding" and self.recipe == "frozen":
            return "embedding-level set, and a frozen body takes no steps on one"
        made_for = (distilled.recipe or {}).get("model")
        if distilled.level == "embedding" and made_for != self.model:
            return f"embedding-level set for {made_for}"
        return super().refuses(distilled)

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        if any(run.distilled.level == "embedding" for run in runs):
            yield from self._on_embeddings(runs, test, Path(models[self.model]))
            return
        if self.recipe == "frozen":
            from benchmark.core.finetune.frozen import frozen_outcomes

            recipes = {len(run.distilled): self.training(len(run.distilled)) for run in runs}
            folder = Path(models[self.model])
            yield from frozen_outcomes(runs, test, folder, recipes, self.max_length)
            return
        from benchmark.core.finetune.cell import train_cell
        from benchmark.core.finetune.engines import engine_for
        from benchmark.core.finetune.pretrained import held
        from benchmark.core.finetune.tokens import tokenise
        from benchmark.core.finetune.training import Member

        folder = Path(models[self.model])
        pretrained = held(folder, len(test.classes))
        texts = self._test_tokens(test, folder, pretrained)
        tokenised: dict[str, Ragged] = {}
        members = []
        for run in runs:
            key = run.distilled.content_hash
            if key not in tokenised:
                columns = run.distilled.columns or {}
                tokenised[key] = tokenise(pretrained.tokenizer, columns, self.max_length)
            members.append(Member(tokenised[key], run.distilled.labels, run.seed))
        results = train_cell(
            lambda: engine_for(held(folder, len(test.classes)), self.engine),
            self.training,
            members,
            texts,
            self.side_by_side,
        )
        for result in results:
            if isinstance(result, RuntimeError):
                yield Outcome(scores=None, error=f"{type(result).__name__}: {result}")
            else:
                yield Outcome(
                    result.logits,
                    result.train_seconds,
                    result.predict_seconds,
                    extra={"last_loss": result.last_loss},
                )

    def _on_embeddings(
        self, runs: Sequence[Run], test: TestTexts, folder: Path
    ) -> Iterator[Outcome]:
        from benchmark.core.finetune.embedding_sets import train_on_embeddings
        from benchmark.core.finetune.pretrained import held

        for run in runs:
            why = self.refuses(run.distilled)
            if why is not None or run.distilled.level != "embedding":
                yield Outcome(scores=None, error=why or "a text-level set among embeddings")
                continue
            pretrained = held(folder, len(test.classes))
            texts = self._test_tokens(test, folder, pretrained)
            recipe = self.training(len(run.distilled))
            try:
                result = train_on_embeddings(
                    pretrained, self.engine, recipe, run.distilled, texts, run.seed,
                    native=self.native,
                )  # fmt: skip
            except RuntimeError as error:
                yield Outcome(scores=None, error=f"{type(error).__name__}: {error}")
                continue
            extra = {"last_loss": result.last_loss}
            yield Outcome(result.logits, result.train_seconds, result.predict_seconds, extra=extra)

    def effort(self, rows: np.ndarray, test: np.ndarray, n_classes: int) -> Effort:
        """Tokens, those that train three times; the optimiser's step is worth `STEP` of them."""
        ours, theirs = (np.minimum(1.4 * words + 2, self.max_length) for words in (rows, test))
        training = self.training(len(rows))
        if self.recipe == "frozen":
            return Effort(ours.sum() + training.steps, len(test), LOADING + theirs.sum())
        batch = training.rows_per_step(len(rows)) * ours.mean()
        return Effort(3 * training.steps * (STEP + batch), theirs.sum(), LOADING + test.sum())

    def training(self, n_rows: int) -> Recipe:
        """How a set of `n_rows` is trained on."""
        from benchmark.core.finetune.recipe import Recipe

        assert self.steps is not None
        assert self.learning_rate is not None
        assert self.full_learning_rate is not None
        recipe = Recipe(
            self.steps,
            self.learning_rate,
            self.warmup,
            self.weight_decay,
            self.clip,
            self.dropout,
            self.batch_size,
            self.precision,
        )
        if n_rows <= self.full_threshold:
            return recipe
        return recipe.for_epochs(n_rows, self.full_epochs, self.full_learning_rate)

    def _test_tokens(self, test: TestTexts, folder: Path, pretrained: Pretrained) -> Ragged:
        from benchmark.core.finetune.tokens import tokenise

        key = ("tokens", str(folder), self.max_length)
        if key not in test.scratch:
            test.scratch[key] = tokenise(pretrained.tokenizer, test.columns, self.max_length)
        return test.scratch[key]
