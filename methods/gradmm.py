"""GRADMM: readable rows whose gradients match those of real rows, by alternating directions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import BenchmarkError
from benchmark.core.method import Budget, Method, register
from benchmark.core.needs import Needs
from benchmark.core.outline import Outline
from benchmark.core.parameters import require_at_least, require_positive
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from benchmark.core.threads import fixed_threads
from methods.language_models.foresight import TINY_CONTEXT
from methods.readable.room import LONGEST, ROOM

if TYPE_CHECKING:
    import torch

    from methods.readable.admm import ADMMPlan
    from methods.readable.learners import GradientLearner

TINY = "tiny"
DISAGREEING = "disagreeing"
"""The note of a set that says which share of its rows the filter finds to be of another class."""
CPU: dict[str, Any] = {
    "learner": "minilm",
    "head": "classifier",
    "writer": TINY,
    "outer_steps": 8,
    "inner_steps": 10,
    "starts": 8,
    "learning_rate": 0.02,
}
"""What a CPU does within the hour: MiniLM's gradients, a small language model of the pool."""
SMOLLM2: dict[str, Any] = {
    "learner": "smollm2-135m",
    "candidates": 40,
    "outer_steps": 4,
    "inner_steps": 5,
    "starts": 4,
    "learning_rate": 0.02,
}
"""The paper's kind of learner at a size that a CPU can just about do."""


@register("gradmm", paper="nguyen2025gradmm")
@register("gradmm-cpu", paper="nguyen2025gradmm", **CPU)
@register("gradmm-smollm2", paper="nguyen2025gradmm", **SMOLLM2)
class GradMM(Method):
    """Optimise embeddings of rows until their gradient is that of real rows, and read them as text.

    For a batch of rows of one class, the gradient of a model's last layer is compared by its cosine
    with that of real rows, and the embeddings are held, by the alternating direction method of
    multipliers, to sequences of tokens that a language model could have written (Nguyen et al.,
    2025): a primal step (Adam), a projection that crosses the tokens nearest to each embedding with
    what the language model finds likely, a dual step. `candidates` rows of each class are written
    once per task; a set draws half of them and keeps the rows whose gradient is nearest to that of
    real rows (filtering), with classes made equally hard (balancing).

    The last layer is the output layer of a causal language model that is asked for a label word
    (`head="prompt"`, as in the paper), or that of an encoder with a new classification head
    (`classifier`). Label words are class names of one token each, any number of them; where their
    first tokens are not all different, all tokens of a word count. The projection's language model
    is the learner itself, or a small one trained on the pool in the learner's own tokens (`tiny`).

    Different from the paper and its code: real rows are drawn from the training pool anew for each
    batch (25 rows of the validation split, one batch); gradients have a closed form, so that no
    backward pass is taken for real rows; weight and bias of the last layer count as one vector; the
    projection reads each token once (keys and values are kept); beginnings are scaled to the mean
    length of the model's word vectors (1.4 there); the rate has no schedule (the code's never takes
    effect). Rows are ranked on a split that they were not written from, and the one classifier that
    filters labels is a logistic regression on real rows' features, or the prompted model itself
    without examples (four hand-written ones there). Budgets are exact, so that balancing makes an
    easier class give up its nearest rows for further ones, and never shrinks it; and where too few
    candidates are of their class by the filter, others fill the set (their share is noted beside
    it, as `disagreeing`). Tokens are of Latin letters and the marks .,!?'- alone, and no text
    begins within a word. A `tiny` writer learns from the rows that are written from. Values of the
    `-cpu` and `-smollm2` variants are first guesses.

    Parameters
    ----------
    learner : catalogue model whose gradients are matched: a causal language model for `prompt`, an
        encoder for `classifier`.
    head : whose last layer is matched: `prompt`, a causal language model's, or `classifier`.
    writer : language model of the projection: the `learner` itself (empty), `tiny`, or a catalogue
        model with the same vocabulary.
    order : of the projection: `nearest-first` as the code, `likely-first` as the paper's text.
    top_k : tokens that the first of the two criteria keeps.
    prompt, words : what follows a text, and the label words, one a class (`words=bad+great`);
        class names by default.
    prefix : what the writer has read before a text; `{label}` in it is the label word. The default
        is its start token and "The". A `tiny` writer reads the token of the class instead.
    vocabulary : `all` tokens are in the softmax of `prompt`, or the `labels` alone.
    length : tokens of a text; 0 for the mean of the pool's rows.
    candidates, rows_at_once : rows of each class that are written, and those optimised together.
    real_rows : real rows of the class whose gradient a batch matches.
    outer_steps, inner_steps, learning_rate, rho, starts : of the optimisation, see `ADMMPlan`.
    filter : what tells whether a row is of its class: a classifier on `features`, the `prompt`ed
        learner, or `none`.
    encoder : whose features the filter reads.
    share : of the candidates that one set draws. Where that is no more than the budget, as many
        rows as the budget are drawn, and all are taken: filter, ranking and `balance` then do
        nothing.
    selection : share of the pool that rows are ranked on and not written from.
    writer_steps : updates of a `tiny` writer at most; the best on held-out rows is kept.

    References
    ----------
    D. Nguyen et al., "Synthetic text generation for training large language models via gradient
    matching", ICML 2025.
    """

    needs = Needs(gpus=1.0)
    version = 3
    note = (
        "all sets are chosen from one writing of candidates: intervals leave out the variance of "
        "the optimisation"
    )
    learner: str = "phi-1.5"
    head: Literal["prompt", "classifier"] = "prompt"
    writer: str = ""
    order: Literal["nearest-first", "likely-first"] = "nearest-first"
    top_k: int = 200
    prompt: str = " It was"
    words: tuple[str, ...] = ()
    prefix: str = "The"
    vocabulary: Literal["all", "labels"] = "all"
    length: int = 0
    candidates: int = 100
    rows_at_once: int = 10
    real_rows: int = 25
    outer_steps: int = 30
    inner_steps: int = 50
    learning_rate: float = 8e-3
    rho: float = 0.1
    starts: int = 500
    filter: Literal["features", "prompt", "none"] = "features"
    encoder: str = "minilm"
    share: float = 0.5
    balance: bool = True
    selection: float = 0.2
    writer_steps: int = 1_000

    toy = {
        **CPU,
        "top_k": 5,
        "length": 5,
        "candidates": 6,
        "rows_at_once": 6,
        "real_rows": 4,
        "outer_steps": 1,
        "inner_steps": 2,
        "starts": 1,
        "writer_steps": 4,
    }

    def __post_init__(self) -> None:
        require_at_least(
            self, 1, "top_k", "candidates", "rows_at_once", "real_rows", "outer_steps",
            "inner_steps", "starts", "writer_steps",
        )  # fmt: skip
        require_at_least(self, 0, "length")
        if self.length > LONGEST - ROOM:
            raise ValueError(f"length is {self.length}; a text has at most {LONGEST - ROOM} tokens")
        require_positive(self, "learning_rate", "rho")
        for name in ("share", "selection"):
            if not 0 < getattr(self, name) <= (1 if name == "share" else 0.5):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a share above 0")
        if self.head == "classifier" and self.writer != TINY:
            raise ValueError("an encoder writes nothing: head=classifier needs writer=tiny")
        if self.head == "classifier" and self.filter == "prompt":
            raise ValueError("filter=prompt asks a language model: it needs head=prompt")
        for name, why in self.ignored().items():
            value = getattr(self, name)
            if value != type(self).__dataclass_fields__[name].default:
                raise ValueError(f"{name} = {value!r} would change nothing: {why}")

    def ignored(self) -> dict[str, str]:
        """Parameters that are not read beside the others, and why: only their defaults are taken.

        They are part of the keys, so that another value would make the same sets once more.
        """
        found = {}
        if self.head == "classifier":
            why = "head=classifier asks for no label word"
            found |= {"words": why, "prompt": why, "vocabulary": why}
        if self.writer == TINY:
            found["prefix"] = "a tiny writer reads the token of the class"
        else:
            found["writer_steps"] = "only writer=tiny is trained"
        if self.filter != "features":
            found["encoder"] = "only filter=features reads features"
        return found

    @property
    def uses_external_lm(self) -> bool:  # type: ignore[override]
        """Whether the writer has read other text than the pool."""
        return self.writer != TINY

    @property
    def models(self) -> tuple[str, ...]:
        """The learner, and the writer where that is another pretrained model."""
        return (self.learner, *([self.writer] if self.writer not in ("", TINY) else []))

    @property
    def encoders(self) -> tuple[str, ...]:
        """The filter's, if it has one."""
        return (self.encoder,) if self.filter == "features" else ()

    def refuses(self, outline: Outline, budget: Budget) -> str:
        """Label words that are not one a class; as many rows of a class as candidates are written.

        With so many rows all sets would be the same one.
        """
        n_classes = len(outline.class_counts)
        if self.words and len(self.words) != n_classes:
            words = ", ".join(self.words)
            return f"words: {len(self.words)} label words for {n_classes} classes: {words}"
        most = max(budget.per_class, default=0)
        if most < self.candidates:
            return ""
        return (
            f"{most} rows of a class are asked for, and {self.candidates} candidates of each are "
            "written, which leaves nothing to choose: give "
            f"--set {self.name}.candidates={2 * most} or so"
        )

    def plan(self) -> ADMMPlan:
        """The optimisation's settings."""
        from methods.readable.admm import ADMMPlan

        return ADMMPlan(
            self.outer_steps, self.inner_steps, self.learning_rate, self.rho, self.starts
        )

    def phase_efforts(self) -> dict[str, float]:
        """Primal steps of a row, and updates of a `tiny` writer."""
        writing = self.candidates * self.outer_steps * self.inner_steps
        return {"language_model": self.writer_steps, "writing": writing}

    def prepare(self, pool: Pool, rng: np.random.Generator, folder: Path) -> None:
        """Write the candidates of every class and rank them; a killed try is gone on with."""
        from methods.readable.opening import open_learner
        from methods.readable.tiny_writer import tiny_writer
        from methods.readable.writing import Writing

        seed = int(rng.integers(2**63))
        with fixed_threads():
            learner = open_learner(self, pool, seed)  # what is wrong is told before training
        split = self.split(pool, numpy_generator(seed_of("readable-split", seed=seed)))
        writer = None
        if self.writer == TINY:
            model = pool.services.model(self.learner)
            longest = min(4 * self.length, TINY_CONTEXT)
            writer = tiny_writer(split[0], folder, model, self.writer_steps, longest)
        with fixed_threads():
            Writing(self, pool, learner, split, folder, writer, seed).run()

    def distil(
        self, pool: Pool, budget: Budget, rng: np.random.Generator, state: Path | None = None
    ) -> DistilledSet:
        """Choose from the candidates."""
        from methods.readable.candidates import choose, load

        assert state is not None
        written = load(state)
        for label, (rows, size) in enumerate(zip(written, budget.per_class, strict=True)):
            if len(rows) < size:
                raise BenchmarkError(
                    f"task {pool.task!r}: {len(rows)} candidates of class {pool.classes[label]!r} "
                    f"were written, fewer than the {size} asked for; raise candidates"
                )
        chosen = choose(written, budget.per_class, self.share, self.balance, rng)
        texts = [row.texts for rows in chosen for row in rows]
        columns = {name: [row[i] for row in texts] for i, name in enumerate(pool.text_columns)}
        labels = np.repeat(np.arange(len(pool.classes)), budget.per_class)
        notes = dict(self.notes(state))
        if self.filter != "none":
            notes[DISAGREEING] = float(np.mean([not row.agrees for rows in chosen for row in rows]))
        return DistilledSet.of_texts(columns, labels, pool.classes, notes=notes)

    def notes(self, state: Path) -> Mapping[str, float]:
        """Facts of every set."""
        return {}

    def split(self, pool: Pool, rng: np.random.Generator) -> tuple[Pool, Pool]:
        """Rows to write from and rows to rank on.

        Raises `BenchmarkError` for a class of one row, which cannot be on both sides.
        """
        counts = pool.class_counts()
        if counts.min() < 2:
            raise BenchmarkError(
                f"task {pool.task!r}: class {pool.classes[int(counts.argmin())]!r} has "
                f"{counts.min()} rows; to write from some and rank on others takes two of each "
                "class"
            )
        return pool.split(self.selection, rng)

    def gradient(
        self, learner: GradientLearner, pool: Pool, label: int, rng: np.random.Generator, use: str
    ) -> torch.Tensor:
        """Mean gradient of random rows of a class, (K, d + 1): to `match`, or to `rank` by.

        Ranking takes four times as many rows.
        """
        members = np.flatnonzero(pool.labels == label)
        size = min(len(members), self.real_rows * (4 if use == "rank" else 1))
        rows = rng.choice(members, size, replace=False)
        return learner.layer_of_tokens(learner.rows_of(pool, rows), label).gradient()
