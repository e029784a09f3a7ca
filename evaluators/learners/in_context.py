"""A distilled set as the few-shot prompt of a causal language model; nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmark.core.effort import LOADING, Effort
from benchmark.core.learner import Learner, Outcome, Run, TestTexts, register_learner
from benchmark.core.needs import Needs
from benchmark.core.seeding import numpy_generator, seed_of

if TYPE_CHECKING:
    from evaluators.prompting.pieces import Template
    from evaluators.prompting.prompt import Prompt

SHORTEST_CONTEXT = 16


@register_learner("in-context", paper="maekawa2024dilm")
class InContext(Learner):
    """Prompt a causal language model with the distilled set and compare label words.

    The protocol of DiLM's Table 3: each row stands in the prompt as ::

        sentence: a gripping film
        label: positive

    with the task's own column names (both, for a pair) and a blank line between rows. The test row
    comes last, without its label, and its prediction is the most probable label word there. The
    seed draws the order of the rows and nothing else: five seeds are the paper's five orders.

    A label word is the class name with underscores read as spaces. Where the first tokens of all
    label words differ, their next-token logits are compared, as in the paper. Otherwise
    (banking77: 9 classes begin with "card") a label is scored by the product of its probabilities
    at the tokens where it parts from other labels, each normalised over what is possible there;
    unlike a mean over all its tokens, this favours no label for being long, and it is the same
    rule where first tokens differ. Scores are logarithms of these probabilities.

    The prompt has at most `max_context` tokens, or the model's maximum where that is less. A text
    is cut at its end so that one row never takes more than half of it; then each test row is given
    as many whole examples as fit, from the start of the drawn order. So the test row is always
    there with at least one example, and all test rows share one prefix, which is computed once.

    Soft labels are taken as their most probable class. White space in a text counts as one space,
    so that no text can end its row. The paper loads its models in 4 bits; here weights are
    unpacked to `precision`.

    Parameters
    ----------
    model : name of a causal language model in the catalogue.
    max_context : most tokens of a prompt, test row and label included.

    References
    ----------
    Maekawa et al., "DiLM: Distilling Dataset into Language Model for Text-level Dataset
    Distillation", Findings of NAACL 2024, section 5.4.
    """

    threaded = True
    needs = Needs(gpus=0.5)

    model: str = "smollm2-135m"
    max_context: int = 1024
    precision: Literal["bfloat16", "float32"] = "bfloat16"

    def __post_init__(self) -> None:
        if self.max_context < SHORTEST_CONTEXT:
            raise ValueError(
                f"max_context is {self.max_context}; it must be at least {SHORTEST_CONTEXT}"
            )

    def effort(self, rows: np.ndarray, test: np.ndarray, n_classes: int) -> Effort:
        """Tokens of the prompt, read once; of each test row, which also looks at all of those."""
        frame = 6.0  # the words "label", a class and the columns' names
        prompt = min(float(self.max_context), 1.4 * (rows + frame).sum())
        asked = np.minimum(1.4 * (test + frame), self.max_context / 2)
        return Effort(100 + prompt, asked.sum() * (1 + prompt / 4000), LOADING + test.sum())

    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        from evaluators.prompting.labels import LabelTree, label_words
        from evaluators.prompting.language_model import held
        from evaluators.prompting.pieces import Template
        from evaluators.prompting.prompt import read_prompt, score_rows

        folder = Path(models[self.model])
        model = held(folder, self.precision)
        words = label_words(test.classes)
        tree = LabelTree.of(model.tokenizer, words)
        context = min(self.max_context, model.max_context) - tree.depth
        template = Template.of(model.tokenizer, tuple(test.columns), context)
        rows = self._test_rows(test, folder, template)
        for run in runs:
            try:
                start = time.perf_counter()
                prompt = _prompt(run, template, words, context)
                prefix, room = read_prompt(model, prompt, rows, context)
                read = time.perf_counter()
                scores = score_rows(model, prefix, room, rows, tree)
                done = time.perf_counter()
            except Exception as error:  # the other runs go on
                yield Outcome(None, error=f"{type(error).__name__}: {error}")
                continue
            if not np.isfinite(scores).all():
                yield Outcome(None, error="FloatingPointError: a label's score is not finite")
                continue
            used = np.searchsorted(prompt.ends, room) + 1
            extra = {"examples_shown": float(used.mean())}
            yield Outcome(scores, read - start, done - read, extra=extra)

    def _test_rows(self, test: TestTexts, folder: Path, template: Template) -> list[np.ndarray]:
        key = ("prompt rows", str(folder), template.limit)
        if key not in test.scratch:
            test.scratch[key] = template.pieces(list(test.columns.values()))
        return test.scratch[key]


def _prompt(run: Run, template: Template, words: Sequence[str], context: int) -> Prompt:
    """Write the set's rows in the order that the run's seed draws, as many as could ever fit."""
    from evaluators.prompting.prompt import Prompt

    distilled = run.distilled
    rng = numpy_generator(seed_of("order of examples", seed=run.seed))
    order = rng.permutation(len(distilled))[:context]
    texts = [[(distilled.columns or {})[name][i] for i in order] for name in template.columns]
    labels = [words[distilled.hard_labels[i]] for i in order]
    first = template.pieces([column[:1] for column in texts], labels[:1], first=True)
    rest = template.pieces([column[1:] for column in texts], labels[1:])
    return Prompt.of(template.lead, first + rest)
