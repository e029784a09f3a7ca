"""GRADMM: readable rows whose gradients match those of real rows, by alternating directions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import BenchmarkError, InputError
from benchmark.core.journal import Journal
from benchmark.core.method import Budget, Method, register
from benchmark.core.parameters import require_at_least
from benchmark.core.pool import Pool
from benchmark.core.states import shared_part
from benchmark.core.threads import fixed_threads

if TYPE_CHECKING:
    import torch

    from methods.readable.admm import ADMMPlan, Reading
    from methods.readable.candidates import Candidate
    from methods.readable.learners import GradientLearner
    from methods.readable.projection import Projector

TINY = "tiny"
WRITTEN = "written"
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


@register("gradmm", paper="nguyen2025gradmm")
@register("gradmm-cpu", paper="nguyen2025gradmm", **CPU)
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
    (`classifier`). Label words are class names, any number of them: where their first tokens differ
    the first token counts, else all tokens of a word. The projection's language model is the
    learner itself, or a small one trained on the pool in the learner's own tokens (`tiny`).

    Different from the paper and its code: real rows are drawn from the training pool anew for each
    batch (25 rows of the validation split, one batch); gradients have a closed form, so that no
    backward pass is taken for real rows; weight and bias of the last layer count as one vector; the
    projection reads each token once (keys and values are kept); beginnings are scaled to the mean
    length of the model's word vectors (1.4 there); the rate has no schedule (the code's never takes
    effect). Rows are ranked on a split that they were not written from, and the one classifier that
    filters labels is a logistic regression on real rows' features, or the prompted model itself
    without examples (four hand-written ones there). Budgets are exact, so that balancing makes an
    easier class give up its nearest rows for further ones, and never shrinks it. Tokens are of
    Latin letters and the marks .,!?'- alone. Values of the `-cpu` variant are first guesses.

    Parameters
    ----------
    learner : catalogue model whose gradients are matched: a causal language model for `prompt`, an
        encoder for `classifier`.
    writer : language model of the projection: the `learner` itself (empty), `tiny`, or a catalogue
        model with the same vocabulary.
    order : of the projection: `nearest-first` as in the code, `likely-first` as in the paper's text.
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
    share : of the candidates that one set draws.
    selection : share of the pool that rows are ranked on and not written from.
    writer_steps : updates of a `tiny` writer at most; the best on held-out rows is kept.

    References
    ----------
    D. Nguyen et al., "Synthetic text generation for training large language models via gradient
    matching", ICML 2025.
    """

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
    writer_steps: int = 2_000

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
        for name in ("learning_rate", "rho"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        for name in ("share", "selection"):
            if not 0 < getattr(self, name) <= (1 if name == "share" else 0.5):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be a share above 0")
        if self.head == "classifier" and self.writer != TINY:
            raise ValueError("an encoder writes nothing: head=classifier needs writer=tiny")
        if self.head == "classifier" and self.filter == "prompt":
            raise ValueError("filter=prompt asks a language model: it needs head=prompt")

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

    def plan(self) -> ADMMPlan:
        """The optimisation's settings."""
        from methods.readable.admm import ADMMPlan

        return ADMMPlan(
            self.outer_steps, self.inner_steps, self.learning_rate, self.rho, self.starts
        )

    def prepare(self, pool: Pool, rng: np.random.Generator, folder: Path) -> None:
        """Write the candidates of every class and rank them; killed, it goes on with what it had."""
        seed = int(rng.integers(2**63))
        writer = self._tiny_writer(pool, folder) if self.writer == TINY else None
        with fixed_threads():
            self._write(pool, folder, writer, seed)
        if writer is not None:  # its seconds belong to this state's
            notes = (writer / "journal.jsonl").read_text()
            path = Journal(folder).path
            path.write_text(notes + path.read_text())

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
        return DistilledSet.of_texts(columns, labels, pool.classes, notes=self.notes(state))

    def notes(self, state: Path) -> Mapping[str, float]:
        """Facts of every set."""
        return {}

    def _tiny_writer(self, pool: Pool, folder: Path) -> Path:
        """Folder of a small language model of the pool that writes in the learner's tokens."""
        from benchmark.core.assets import load_tokenizer, model_fingerprint
        from benchmark.core.finetune.recipe import Recipe
        from methods.language_models.pretraining import LanguageModelPlan, train_language_model

        model = pool.services.model(self.learner)
        recipe = Recipe(
            steps=self.writer_steps, learning_rate=1e-3, warmup=0.05, precision="float32"
        )
        plan = LanguageModelPlan(TINY, recipe, self.length and 4 * self.length, "best")

        def make(partial: Path, rng: np.random.Generator) -> None:
            tokenizer = load_tokenizer(model)
            if tokenizer.eos_token_id is None:
                tokenizer.eos_token = tokenizer.sep_token
            with fixed_threads():
                train_language_model(pool, plan, partial, rng, tokenizer)

        ingredients = {**asdict(plan), "vocabulary": model_fingerprint(model)}
        return shared_part(folder, pool, "language-model", ingredients, make)

    def _write(self, pool: Pool, folder: Path, writer: Path | None, seed: int) -> None:
        from benchmark.core.seeding import numpy_generator, seed_of

        learner = self._learner(pool, seed)
        projector, readings = self._projector(pool, learner, writer)
        matched, ranked = self._split(pool, numpy_generator(seed_of("gradmm-split", seed=seed)))
        lengths = self._lengths(learner, matched)
        journal = Journal(folder)
        count = -(-self.candidates // self.rows_at_once)
        total, done = count * len(pool.classes), 0
        written: list[list[Candidate]] = []
        cosines = []
        for label in range(len(pool.classes)):
            ids: list[list[np.ndarray]] = []
            for number in range(count):
                pool.services.report(f"{pool.task}: {self.name}, batches of rows", done, total)
                axes = {"seed": seed, "label": label, "number": number}
                size = min(self.rows_at_once, self.candidates - number * self.rows_at_once)
                batch = self._batch(
                    folder / WRITTEN / f"{label}-{number}.json", learner, projector, matched,
                    label, (size, lengths), readings[label], axes, journal,
                )  # fmt: skip
                ids += [[np.array(text) for text in row] for row in batch["ids"]]
                cosines.append(batch["cosine"])
                done += 1
            with journal.phase("ranking"):
                real = self._gradient(
                    learner, ranked, label, numpy_generator(seed_of("gradmm-rank", **axes)), "rank"
                )
                written.append(self._judged(pool, learner, matched, ids, label, real))
        from methods.readable.candidates import save

        save(folder, written)
        journal.find("gradient_cosine", float(np.mean(cosines)))
        agreeing = [row.agrees for rows in written for row in rows]
        if self.filter != "none":
            journal.find("label_agreement", float(np.mean(agreeing)))

    def _batch(
        self,
        path: Path,
        learner: GradientLearner,
        projector: Projector,
        matched: Pool,
        label: int,
        shape: tuple[int, Sequence[int]],
        reading: Reading,
        axes: Mapping[str, int],
        journal: Journal,
    ) -> dict[str, Any]:
        """Write one batch of rows, or read what an earlier try has written."""
        from benchmark.core.seeding import numpy_generator, seed_of
        from methods.readable.admm import write_rows
        from methods.readable.candidates import write_json

        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            with journal.phase("writing"):
                rng = numpy_generator(seed_of("gradmm-real", **axes))
                real = self._gradient(learner, matched, label, rng, "match")
                found, cosine = write_rows(
                    learner, projector, real, label, shape, reading, self.plan(),
                    seed_of("gradmm-start", **axes),
                )  # fmt: skip
            rows = [[ids[row].tolist() for ids in found] for row in range(shape[0])]
            write_json(path, {"ids": rows, "cosine": cosine})
        return json.loads(path.read_text())

    def _judged(
        self,
        pool: Pool,
        learner: GradientLearner,
        matched: Pool,
        ids: Sequence[Sequence[np.ndarray]],
        label: int,
        real: torch.Tensor,
    ) -> list[Candidate]:
        """Texts of rows, how far their gradients are from `real`, and whether labels agree."""
        from methods.gradient_matching.closed_form import row_cosines
        from methods.readable.candidates import Candidate

        layer = learner.layer_of_tokens(ids, label)
        distances = 1.0 - row_cosines(real, layer, learner.predictions(label))
        texts = [
            tuple(
                learner.tokenizer.decode(text, clean_up_tokenization_spaces=True).strip()
                for text in row
            )
            for row in ids
        ]
        agrees = self._agreeing(pool, learner, matched, ids, texts, label)
        return [
            Candidate(row, float(distance), bool(agreed))
            for row, distance, agreed in zip(texts, distances, agrees, strict=True)
        ]

    def _agreeing(
        self,
        pool: Pool,
        learner: GradientLearner,
        matched: Pool,
        ids: Sequence[Sequence[np.ndarray]],
        texts: Sequence[tuple[str, ...]],
        label: int,
    ) -> np.ndarray:
        if self.filter == "none":
            return np.ones(len(texts), dtype=bool)
        if self.filter == "prompt":
            return learner.label_scores(ids).argmax(1) == label  # type: ignore[attr-defined]
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            features = np.asarray(matched.embed(self.encoder))
            classifier = LogisticRegression(max_iter=1000).fit(features, matched.labels)
        columns = {name: [row[i] for row in texts] for i, name in enumerate(pool.text_columns)}
        return classifier.predict(pool.services.encode(self.encoder, columns)) == label

    def _learner(self, pool: Pool, seed: int) -> GradientLearner:
        from methods.readable.learners import ClassifierLearner, PromptLearner
        from methods.readable.vocabulary import words_of_classes

        folder = pool.services.model(self.learner)
        try:
            if self.head == "classifier":
                return ClassifierLearner(folder, len(pool.classes), seed % 2**32)
            words = words_of_classes(pool.classes, self.words)
            return PromptLearner(folder, self.learner, words, self.prompt, self.vocabulary)
        except (OSError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            kind = "encoder" if self.head == "classifier" else "causal language model"
            raise InputError(
                f"learner {self.learner!r} is no {kind} that can be read: "
                f"{str(error).splitlines()[0][:150]}"
            ) from error

    def _projector(
        self, pool: Pool, learner: GradientLearner, writer: Path | None
    ) -> tuple[Projector, list[Reading]]:
        """The projection, and what its language model reads around the texts of each class."""
        import torch

        from benchmark.core.assets import load_causal_lm
        from methods.language_models.generator import device, load
        from methods.language_models.pretraining import GENERATOR
        from methods.readable.admm import Reading
        from methods.readable.projection import Projector
        from methods.readable.vocabulary import words_of_classes, writable

        allowed = torch.from_numpy(writable(learner.tokenizer, len(learner.table)))
        if writer is not None:
            generator = load(writer / GENERATOR)
            model, s = generator.model.requires_grad_(False), generator.serialiser
            readings = [
                Reading([s.start(label)], [s.separator]) for label in range(len(pool.classes))
            ]
        else:
            model = learner.model  # type: ignore[attr-defined]
            if self.writer:
                model = load_causal_lm(pool.services.model(self.writer), "float32").to(device())
            words = words_of_classes(pool.classes, self.words)
            pieces = learner.pieces(0, len(pool.text_columns))
            readings = []
            for word in words:
                text = self.prefix.replace("{label}", word)
                ids = learner.tokenizer(text, add_special_tokens=False)["input_ids"]
                before = [*pieces[0], *map(int, ids)]
                if not before:
                    raise InputError(f"{self.name}: the writer needs a prefix, which is empty")
                readings.append(Reading(before, pieces[1] if len(pieces) > 2 else []))
        known = model.get_input_embeddings().weight.shape[0]
        if known < len(learner.table):
            raise InputError(
                f"writer {self.writer!r} has {known:,} tokens, learner {self.learner!r} "
                f"{len(learner.table):,}: they must share a vocabulary"
            )
        return Projector(model, learner.table, allowed, self.top_k, self.order), readings

    def _split(self, pool: Pool, rng: np.random.Generator) -> tuple[Pool, Pool]:
        """Rows to write from and rows to rank on."""
        least = int(pool.class_counts().min())
        if least < 2:
            label = pool.classes[int(pool.class_counts().argmin())]
            raise BenchmarkError(
                f"task {pool.task!r}: class {label!r} has {least} rows; to write from some and "
                "rank on others takes two of each class"
            )
        return pool.split(self.selection, rng)

    def _lengths(self, learner: GradientLearner, matched: Pool) -> list[int]:
        """Tokens of each text: the mean of the rows, one at least."""
        if self.length:
            return [self.length] * len(matched.text_columns)
        rows = learner.text_tokens(matched.texts(), 512)
        return [max(1, round(float(np.mean(column)))) for column in
                zip(*[[len(text) for text in row] for row in rows], strict=True)]  # fmt: skip

    def _gradient(
        self, learner: GradientLearner, pool: Pool, label: int, rng: np.random.Generator, use: str
    ) -> torch.Tensor:
        """Mean gradient of random rows of a class, (K, d + 1): to `match`, or to `rank` by.

        Ranking takes four times as many rows.
        """
        members = np.flatnonzero(pool.labels == label)
        size = min(len(members), self.real_rows * (4 if use == "rank" else 1))
        rows = rng.choice(members, size, replace=False)
        return self._layer(learner, pool, rows, label).gradient()

    def _layer(self, learner: GradientLearner, pool: Pool, rows: np.ndarray, label: int) -> Any:
        longest = 512 // len(pool.text_columns) - 32
        return learner.layer_of_tokens(learner.text_tokens(pool.texts(rows), longest), label)
