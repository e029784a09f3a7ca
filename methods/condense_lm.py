"""CondenseLM: real rows are retrieved by rewards and rewritten by an instruction model."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.journal import Journal
from benchmark.core.method import Budget, Method, register
from benchmark.core.needs import Needs
from benchmark.core.parameters import require_at_least, require_positive
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from benchmark.core.states import SECONDS, shared_part
from benchmark.core.threads import fixed_threads

if TYPE_CHECKING:
    from methods.rewriting.condensing import CondensePlan
    from methods.rewriting.rewards import Rewards
    from methods.rewriting.writers import Writer

ENDPOINT = "endpoint:"
ROWS = "rows.json"
CPU: dict[str, Any] = {
    "writer": "smollm2-135m",
    "rewards": "frozen",
    "retrieved": 8,
    "share": 0.5,
    "answers": 4,
    "features": False,
    "looked_at": 2_000,
    "reward_rows": 5_000,
    "tokens": 40,
}
"""A local model of 135 million weights, and rewards from frozen features."""


@register("condense-lm", paper="shen2025condenselm")
@register("condense-lm-cpu", paper="shen2025condenselm", **CPU)
class CondenseLM(Method):
    """Let an instruction model write new rows from real ones that are typical and not yet told.

    Round by round (Shen et al., 2025): of the real rows of a class those are retrieved that a
    little-trained classifier is sure of (representativeness) and a classifier of what is condensed
    so far is not (coverage), spread over the class by k-means; the model sees them, notes what
    marks the classes and what they share, and writes new rows, several answers of which the one
    with the largest sum of rewards is kept.

    The writer knows more than the pool: the method is tagged so, and the tokens that a set's
    prompts and answers took stand beside it (unknown where a server does not tell). Sets are made
    anew for every budget and set index. Answers are kept by writer, temperature, tokens, how many
    are asked for at once, and seed: a try with other thresholds, more rounds or without `agreeing`
    asks no prompt twice.

    Different from the paper: the prompts are our own; each class is asked for by itself, with rows
    of the others for contrast; where fewer real rows reach both thresholds than are retrieved, all
    of them are shown, and those with the largest rewards of the others fill up; written rows that
    are copies of real ones (but for case and white space), that speak of the task itself ("here are
    four examples of the class") or that the classifier of real rows puts into another class are
    left out, and the best answer is filled up from the others where it is
    too short; of a pair both texts are written, where the paper shares premises; a row is new at
    first by what a guess among the classes would leave. `rewards="frozen"` has logistic regressions
    on frozen features in place of fine-tuned encoders, which is what a CPU can do. Numbers of the
    `-cpu` variant are guesses.

    Parameters
    ----------
    writer : `endpoint:NAME` for a model that an OpenAI-style server at OPENAI_BASE_URL knows by
        that name, or a catalogue model: a causal language model, asked in its chat form.
    rewards : `finetuned` (of `learner`, 1 epoch at 1e-5 and dropout 0.3; of condensed rows DiLM's
        recipe) or `frozen` (of the encoder's features).
    learner : catalogue model that `finetuned` trains.
    encoder : for k-means, and for `frozen`.
    reward_rows : real rows that the little-trained classifier sees; 0 for all.
    retrieved, share, answers, rounds, least_representative, least_coverage, coverage_weight,
    looked_at, features, agreeing, tokens : see `CondensePlan`. The paper retrieves 20 rows (SST-2;
        10 or 5 of longer texts) and writes 20% to 50% of them, the best of 10 answers.
    temperature : of the writer.

    References
    ----------
    Shen et al., "CondenseLM: LLMs-driven text dataset condensation via reward matching", EMNLP
    2025.
    """

    uses_external_lm = True
    version = 6

    writer: str = "endpoint:gpt-4o"
    rewards: Literal["finetuned", "frozen"] = "finetuned"
    learner: str = "bert-base"
    encoder: str = "minilm"
    reward_rows: int = 0
    retrieved: int = 20
    share: float = 0.25
    answers: int = 10
    rounds: int = 3
    least_representative: float = 0.8
    least_coverage: float = 0.3
    coverage_weight: float = 0.2
    looked_at: int = 0
    features: bool = True
    agreeing: bool = True
    tokens: int = 80
    temperature: float = 1.0

    toy = {
        **CPU,
        "retrieved": 3,
        "share": 1.0,
        "answers": 2,
        "tokens": 6,
        "rounds": 8,
        "agreeing": False,
    }

    def __post_init__(self) -> None:
        require_at_least(self, 1, "retrieved", "answers", "rounds", "tokens")
        require_at_least(self, 0, "reward_rows", "looked_at", "coverage_weight")
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; it must lie in (0, 1]")
        require_positive(self, "temperature")
        if self.writer == ENDPOINT:
            raise ValueError(f"writer is {self.writer!r}, without the name of a model")

    @property
    def endpoint(self) -> str:
        """The model behind an endpoint, if the writer is one."""
        return self.writer.removeprefix(ENDPOINT) if self.writer.startswith(ENDPOINT) else ""

    @property
    def needs(self) -> Needs:  # type: ignore[override]
        """A GPU for a local writer or for fine-tuned rewards; an endpoint and logistic regressions
        need none."""
        local = not self.endpoint or self.rewards == "finetuned"
        return Needs(gpus=1.0 if local else 0.0)

    @property
    def models(self) -> tuple[str, ...]:
        """The local writer, and the learner of fine-tuned rewards."""
        local = () if self.endpoint else (self.writer,)
        return (*local, *([self.learner] if self.rewards == "finetuned" else []))

    def plan(self) -> CondensePlan:
        """How rows are retrieved and rewritten."""
        from methods.rewriting.condensing import CondensePlan

        return CondensePlan(
            self.retrieved, self.share, self.answers, self.rounds, self.least_representative,
            self.least_coverage, self.coverage_weight, self.looked_at, self.features,
            self.agreeing, self.tokens,
        )  # fmt: skip

    def distil(
        self, pool: Pool, budget: Budget, rng: np.random.Generator, state: Path | None = None
    ) -> DistilledSet:
        """Write one set; a failed or killed try is gone on with, and no answer is asked twice."""
        from benchmark.core.assets import model_fingerprint
        from benchmark.core.keys import fingerprint_array

        seed = int(rng.integers(2**63))
        with tempfile.TemporaryDirectory() as temporary:
            parts = pool.services.parts or Path(temporary)
            parts.mkdir(parents=True, exist_ok=True)

            def make(partial: Path, rng: np.random.Generator) -> None:
                with fixed_threads():
                    self._condense(pool, budget, partial, parts, seed)

            models = {name: model_fingerprint(pool.services.model(name)) for name in self.models}
            ingredients = {
                "version": self.version,
                "params": self.params(),
                "features": fingerprint_array(np.asarray(pool.embed(self.encoder))),
                "models": models,
                "budget": list(budget.per_class),
                "seed": seed,
            }
            folder = shared_part(parts / "set", pool, "condensed", ingredients, make)
            body = json.loads((folder / ROWS).read_text())
            seconds = sum(Journal(folder).phases().values())
        rows = [tuple(row) for of_class in body["rows"] for row in of_class]
        columns = {name: [row[i] for row in rows] for i, name in enumerate(pool.text_columns)}
        labels = np.repeat(np.arange(len(pool.classes)), budget.per_class)
        notes = {"lm_tokens": float(body["tokens"]), SECONDS: seconds}
        return DistilledSet.of_texts(columns, labels, pool.classes, notes=notes)

    def _condense(self, pool: Pool, budget: Budget, folder: Path, parts: Path, seed: int) -> None:
        from methods.readable.candidates import write_json
        from methods.rewriting.condensing import Condensing
        from methods.rewriting.writers import KeptAnswers

        with Journal(folder).phase("condense"):
            writer = KeptAnswers(self._writer(pool), self._answers(pool, parts, seed))
            rewards = self._rewards(pool, parts, numpy_generator(seed))
            made = Condensing(pool, self.encoder, rewards, writer, self.plan(), self.name, seed)
            rows = made.run(budget.per_class)
        write_json(folder / ROWS, {"rows": rows, "tokens": writer.tokens})

    def _answers(self, pool: Pool, parts: Path, seed: int) -> Path:
        """Where answers are kept: for all sets whose prompts would be answered alike.

        A local model answers a prompt `answers` times at once, which therefore is part of the key.
        """
        from benchmark.core.assets import model_fingerprint

        local = "" if self.endpoint else model_fingerprint(pool.services.model(self.writer))
        ingredients = {
            "writer": self.writer,
            "model": local,
            "temperature": self.temperature,
            "tokens": self.tokens,
            "answers": self.answers,
            "seed": seed,
        }
        return shared_part(parts / "set", pool, "answers", ingredients, lambda folder, rng: None)

    def _writer(self, pool: Pool) -> Writer:
        from methods.rewriting.writers import EndpointWriter, LocalWriter

        if self.endpoint:
            return EndpointWriter(self.endpoint, self.temperature, pool.services.bill)
        return LocalWriter(pool.services.model(self.writer), self.writer, self.temperature)

    def _rewards(self, pool: Pool, parts: Path, rng: np.random.Generator) -> Rewards:
        from methods.rewriting.rewards import FinetunedRewards, FrozenRewards

        if self.rewards == "frozen":
            return FrozenRewards(pool, self.encoder, self.reward_rows, rng)
        folder = pool.services.model(self.learner)
        return FinetunedRewards(pool, folder, parts, self.reward_rows, rng)
