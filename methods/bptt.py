"""Back-propagation through time with momentum, in memory that does not grow with the steps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from benchmark.core.method import register
from benchmark.core.pool import Pool
from methods.tdd import TDD

if TYPE_CHECKING:
    from methods.bilevel.outer import OuterPlan

CPU: dict[str, Any] = {
    "learner": "minilm",
    "steps": 600,
    "length": 32,
    "learning_rate": 0.03,
    "inner_rate": 0.3,
    "batch": 64,
    "start": "words",
    "ramp": 0.0,
}
"""As TDD's, with what made it converge: see `BPTT`."""


@register("bptt", paper="deng2022remember")
@register("bptt-cpu", paper="deng2022remember", **CPU)
class BPTT(TDD):
    """Embeddings and learning rates learned through many inner steps with momentum.

    Algorithm 1 of the report on distillation by back-propagation through time, which carries
    Remember the Past (Deng and Russakovsky, NeurIPS 2022) over to text: momentum SGD inside,
    weights kept step by step, one Hessian-vector product a step on the way back, Adam outside.
    Labels are the classes, not learned. The report's runs did not converge; here the method has
    been run on toy data only, and what makes it converge is still to be found.

    Parameters
    ----------
    momentum_rate : of the inner steps.
    passes : how often the inner steps go through the rows, one of each class a step.
    ramp : share of the outer steps over which inner steps grow from one to all of them.

    The others are TDD's.

    References
    ----------
    Deng and Russakovsky, "Remember the Past: Distilling Datasets into Addressable Memories for
    Neural Networks", NeurIPS 2022.
    Domke, "Generic Methods for Optimization-Based Modeling", AISTATS 2012.
    """

    seeded_as = ""

    labels: Literal["soft", "hard", "unrestricted"] = "hard"
    learner: str = "bert-base"
    passes: int = 2
    momentum_rate: float = 0.9
    ramp: float = 0.3
    unroll: Literal["graph", "replay"] = "replay"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most in (("momentum_rate", 1.0), ("ramp", 1.0)):
            value = getattr(self, name)
            if not 0 <= value < most:
                raise ValueError(f"{name} is {value}; it must lie in [0, {most:g})")

    @property
    def momentum(self) -> float:
        return self.momentum_rate

    def plan(self, pool: Pool) -> OuterPlan:
        return replace(super().plan(pool), ramp=self.ramp)
