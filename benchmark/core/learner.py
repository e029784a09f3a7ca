"""Learners: trained on a distilled set only, then asked for predictions on the test texts.

A learner gets all runs of a cell at once, so that it may share work between them or train many
side by side. It never sees test labels: the harness scores.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, dataclass_transform

import numpy as np

from benchmark.core.distilled import DistilledSet
from benchmark.core.effort import LOADING, Effort
from benchmark.core.errors import InputError
from benchmark.core.needs import Needs
from benchmark.core.parameters import parameters_of
from benchmark.core.registry import Registry, registering


@dataclass(frozen=True)
class Run:
    """One training: a set and the seed of the learner's own randomness."""

    distilled: DistilledSet
    seed: int


@dataclass(frozen=True)
class TestTexts:
    """The test split without its labels, and what the harness computed of it.

    `columns` are the task's text columns. `fingerprint` identifies the texts. `features(encoder)`
    gives features of all rows, cached; `embed_set(encoder, set)` those of a set's rows: a row that
    stands in the training pool has its pool features, other rows are encoded together. `scratch`
    keeps what a learner computes once per task (token counts, token ids) between its cells.
    """

    __test__ = False  # the name is no pytest class

    columns: Mapping[str, Sequence[str]]
    classes: tuple[str, ...]
    fingerprint: str
    features: Callable[[str], np.ndarray]
    embed_set: Callable[[str, DistilledSet], np.ndarray]
    scratch: dict[Any, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True)
class Outcome:
    """What one run gave.

    `scores` are logits or any per-class scores, shape (n_test, C), whose arg-max is the
    prediction. A run that went wrong has `error` instead, so that its neighbours go on.
    """

    scores: np.ndarray | None
    train_seconds: float = 0.0
    predict_seconds: float = 0.0
    error: str | None = None
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Learner(ABC):
    """Base class of learners.

    Tags: `deterministic` (the seed changes nothing: it is trained once per set), `version` (raise
    it when the results change), `levels` (kinds of sets that it can train on), `recipes` (values of
    its parameter `recipe`, for which `NAME@recipe=panel` stands), `threaded` (a run uses all its
    process's threads, so that workers beside each other slow each other down), `pairs_only` (it
    learns from pairs of texts only), `needs` (cores and share of a GPU that the trainings of a cell
    take on a cluster).
    """

    name: ClassVar[str] = ""
    deterministic: ClassVar[bool] = False
    levels: ClassVar[tuple[str, ...]] = ("text",)
    version: ClassVar[int] = 1
    recipes: ClassVar[tuple[str, ...]] = ()
    threaded: ClassVar[bool] = False
    pairs_only: ClassVar[bool] = False
    needs: ClassVar[Needs] = Needs()

    @abstractmethod
    def fit_predict(
        self, runs: Sequence[Run], test: TestTexts, models: Mapping[str, Path]
    ) -> Iterator[Outcome]:
        """Train each run from scratch and predict; yield one outcome per run, in order.

        `models` maps each name in `self.models` to the folder with its files.
        """

    @property
    def models(self) -> tuple[str, ...]:
        """Names of pretrained models (catalogue `[model.*]`) that must be there."""
        model = getattr(self, "model", None)
        return (model,) if model else ()

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of the encoders whose features the learner reads."""
        encoder = getattr(self, "encoder", None)
        return (encoder,) if encoder else ()

    def refuses(self, distilled: DistilledSet) -> str | None:
        """Return why this set cannot be used by this learner at all, or None."""
        if distilled.level not in self.levels:
            return f"{distilled.level}-level set"
        return None

    def reads_embeddings_for(self, model: str) -> bool:
        """Whether it can train on input embeddings that were made for a catalogue model."""
        return "embedding" in self.levels and model in self.models

    def effort(self, rows: np.ndarray, test: np.ndarray, n_classes: int) -> Effort:
        """How much a run has to do, for estimates of time; no part of any key.

        `rows` and `test` are the words of each row of the set and of the test split.
        """
        return Effort(1000.0 + rows.sum(), 1000.0 + test.sum(), LOADING + test.sum())

    def params(self) -> dict[str, Any]:
        """The training recipe as JSON-able data, part of every run key."""
        return parameters_of(self)


LEARNERS: Registry[Learner] = Registry(
    "learner", Learner, "evaluators.learners", "text_distillation.learners"
)


@dataclass_transform(frozen_default=True)
def register_learner(name: str, *, paper: str = "", **preset: Any) -> Callable[[type], type]:
    """Register a learner under `name`; `preset` are parameters of a named variant."""
    return registering(LEARNERS, name, paper=paper, **preset)


PANEL = "recipe=panel"


def expand_panels(names: Sequence[str]) -> tuple[str, ...]:
    """Write `minilm@recipe=panel` as the learner's recipes; each name stands once in the result.

    Raises `InputError` for a learner that has no recipes.
    """
    expanded: list[str] = []
    for name in names:
        base, *variants = name.split("@")
        if PANEL not in variants:
            expanded.append(name)
            continue
        recipes = LEARNERS.cls(base).recipes
        if not recipes:
            raise InputError(f"learner {name!r}: {base} has no recipes, so it has no panel of them")
        expanded += [
            "@".join([base, *(f"recipe={r}" if v == PANEL else v for v in variants)])
            for r in recipes
        ]
    return tuple(dict.fromkeys(expanded))


def build_learner(name: str, params: Mapping[str, Any] | None = None) -> Learner:
    """Construct a learner from its name, or from a variant's: `minilm@steps=400@dropout=0`.

    A variant is the named learner with other parameters; tables show it under its full name.

    Raises `InputError` for an unknown name or parameter, or a variant that is not `key=value`.
    """
    base, *variants = name.split("@")
    given: dict[str, Any] = {}
    for variant in variants:
        key, equals, value = variant.partition("=")
        if not (key and equals and value) or key in given:
            raise InputError(f"learner {name!r}: write a variant as {base}@key=value@key=value")
        given[key] = value
    learner = LEARNERS.build(base, {**given, **(params or {})})
    object.__setattr__(learner, "name", name)
    return learner
