"""A pretrained transformer with a classification head, fine-tuned on the distilled set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmark.core.learner import Learner, Outcome, Run, TestTexts, register_learner

if TYPE_CHECKING:
    from evaluators.finetune.pretrained import Pretrained
    from evaluators.finetune.recipe import Recipe
    from evaluators.finetune.tokens import Ragged


@register_learner("transformer", paper="maekawa2024dilm")
class Transformer(Learner):
    """Fine-tune any encoder that `AutoModelForSequenceClassification` loads, as DiLM does.

    Recipe: AdamW at 1e-4, 200 steps, linear warm-up over the first half, cosine to 0 over the
    second; gradient norm clipped at 1.0; dropout 0.1 everywhere; batches of min(64, n) rows,
    shuffled each epoch, the last short batch dropped; texts truncated at 512 tokens, sentence
    pairs encoded as pairs; bfloat16 autocast. The weights of the last step are evaluated: nothing
    is selected. Soft labels are trained on by cross-entropy with probabilities.

    Weight decay is 0.01, none on biases and layer norms. The paper gives no exception for the
    learner; its released code makes this one for the language model, and it is the convention of
    the transformers library, so that one rule serves both.

    The head is Hugging Face's own for each family (for BERT the pooler, dropout and a linear
    layer), as the released code has it. The paper's text differs: it describes a linear layer on
    the last hidden state. The head is drawn from the run's seed.

    Sets of more than `full_threshold` rows (the full training set) are trained for `full_epochs`
    epochs at `full_learning_rate`, the rest of the recipe unchanged.

    Runs of a cell train side by side where that is faster, which changes rounding alone.

    Parameters
    ----------
    model : name of a pretrained model in the catalogue.
    engine : `"auto"` packs rows without padding where the architecture is known (BERT, RoBERTa,
        DistilBERT, MPNet) and pads otherwise; `"padded"` always pads. Both compute the same; their
        dropout masks differ.

    References
    ----------
    Maekawa et al., "DiLM: Distilling Dataset into Language Model for Text-level Dataset
    Distillation", Findings of NAACL 2024.
    """

    model: str
    steps: int = 200
    learning_rate: float = 1e-4
    warmup: float = 0.5
    weight_decay: float = 0.01
    clip: float = 1.0
    dropout: float = 0.1
    batch_size: int = 64
    max_length: int = 512
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    full_threshold: int = 2000
    full_epochs: int = 3
    full_learning_rate: float = 2e-5
    engine: Literal["auto", "padded"] = "auto"

    version = 2
    side_by_side = 0  # runs trained together; no parameter, as it changes rounding alone; 0 chooses

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        from evaluators.finetune.cell import train_cell
        from evaluators.finetune.engines import engine_for
        from evaluators.finetune.pretrained import held
        from evaluators.finetune.tokens import tokenise
        from evaluators.finetune.training import Member

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
            self.recipe,
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

    def recipe(self, n_rows: int) -> Recipe:
        """The training recipe for a set of `n_rows`."""
        from evaluators.finetune.recipe import Recipe

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
        from evaluators.finetune.tokens import tokenise

        key = ("tokens", str(folder), self.max_length)
        if key not in test.scratch:
            test.scratch[key] = tokenise(pretrained.tokenizer, test.columns, self.max_length)
        return test.scratch[key]
