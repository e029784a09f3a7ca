"""Any generator crossed with any selector: is a gain the generator's or the selector's?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmark.core.method import METHODS, Budget, Generator, Selector, register
from benchmark.core.needs import Needs
from benchmark.core.outline import Need, Outline
from benchmark.core.parameters import require_at_least
from benchmark.core.pool import Pool
from benchmark.core.threads import fixed_threads


@register("crossed")
class Crossed(Generator):
    """Have a generator write more rows than are wanted, and a selector choose among them.

    `GENERATOR+SELECTOR`, as `vanilla-lm+herding`, is the same under a name of its own, for any
    two registered names. A generator that selects by itself (its parameter `selection`) writes
    rows as they come here. The selector sees the rows of one class as its pool, as it sees
    training rows otherwise.

    Parameters
    ----------
    generator, selector : names of methods.
    oversample : rows written for each row kept, 100 as DiLM has it.
    settings : parameters of the generator as `name=value`, joined with `+` on the command line.
    """

    generator: str = "vanilla-lm"
    selector: str = "herding"
    oversample: int = 100
    settings: tuple[str, ...] = ()

    toy = {
        "selector": "random",
        "oversample": 2,
        "settings": (
            "generator=tiny", "lm_steps=40", "lm_learning_rate=1e-2", "lm_batch=16",
            "max_length=16", "precision=float32",
        ),
    }  # fmt: skip

    def __post_init__(self) -> None:
        require_at_least(self, 1, "oversample")
        if any("=" not in setting for setting in self.settings):
            raise ValueError("settings are written name=value")

    @property
    def writer(self) -> Generator:
        """The generator, its own selection turned off."""
        given = dict(setting.split("=", 1) for setting in self.settings)
        fields = {field.name for field in dataclasses.fields(METHODS.cls(self.generator))}
        plain = {"selection": "none"} if "selection" in fields else {}
        return _of_kind(METHODS.build(self.generator, {**plain, **given}), Generator)

    @property
    def chooser(self) -> Selector:
        """The selector."""
        return _of_kind(METHODS.build(self.selector), Selector)

    @property
    def encoders(self) -> tuple[str, ...]:
        """Those of both."""
        return tuple(dict.fromkeys((*self.writer.encoders, *self.chooser.encoders)))

    @property
    def models(self) -> tuple[str, ...]:
        """Those of both."""
        return tuple(dict.fromkeys((*self.writer.models, *self.chooser.models)))

    @property
    def uses_external_lm(self) -> bool:  # type: ignore[override]
        """Whether the generator does."""
        return self.writer.uses_external_lm

    @property
    def needs(self) -> Needs:  # type: ignore[override]
        """Those of the generator."""
        return self.writer.needs

    @property
    def needs_preparation(self) -> bool:
        """Whether the generator learns something once per pool."""
        return self.writer.needs_preparation

    def refuses(self, outline: Outline, budget: Budget) -> str:
        """What the generator refuses, of the rows that it is to write."""
        return self.writer.refuses(outline, self._written(budget))

    def need(self, outline: Outline, budget: Budget) -> Need:
        """Memory of the generator."""
        return self.writer.need(outline, self._written(budget))

    def effort(self, outline: Outline, budget: Budget) -> float:
        """That of the generator; choosing takes less."""
        return self.writer.effort(outline, self._written(budget))

    def phase_efforts(self) -> Mapping[str, float]:
        """Those of the generator."""
        return self.writer.phase_efforts()

    def _written(self, budget: Budget) -> Budget:
        return Budget(tuple(rows * self.oversample for rows in budget.per_class))

    def prepare(self, pool: Pool, rng: np.random.Generator, folder: Path) -> None:
        """Prepare the generator."""
        self.writer.prepare(pool, rng, folder)

    def generate(
        self, pool: Pool, label: int, size: int, rng: np.random.Generator, state: Path | None
    ) -> Mapping[str, Sequence[str]]:
        """Write `size * oversample` rows of a class and choose `size` of them."""
        written = self.writer.generate(pool, label, size * self.oversample, rng, state)
        columns = {name: list(texts) for name, texts in written.items()}
        count = len(next(iter(columns.values())))

        def embed(encoder: str, _: Pool | None = None) -> np.ndarray:
            with fixed_threads():
                return pool.services.encode(encoder, columns)

        rows = Pool(
            pool.task, columns, np.full(count, label), pool.classes,
            embed=embed, services=pool.services,
        )  # fmt: skip
        chosen = self.chooser.select(rows, size, rng)
        return {name: [texts[row] for row in chosen] for name, texts in columns.items()}


def _of_kind(method: object, kind: type) -> object:
    if not isinstance(method, kind):
        raise ValueError(f"{method.name} is no {kind.__name__.lower()}")  # type: ignore[attr-defined]
    return method
