"""Dataset distillation with attention labels (Maekawa et al., ACL 2023)."""

from __future__ import annotations

from typing import Literal

from benchmark.core.method import register
from benchmark.core.parameters import require_positive
from methods.tdd import CPU as OF_TDD
from methods.tdd import TDD

CPU = {**OF_TDD, "inner_rate": 0.1}
"""TDD's, but for the inner rate: see `AttentionLabels`."""


@register("attention-labels", paper="maekawa2023attention")
@register("attention-labels-all", paper="maekawa2023attention", queries="all")
@register("attention-labels-cpu", paper="maekawa2023attention", **CPU)
@register("attention-labels-all-cpu", paper="maekawa2023attention", **CPU, queries="all")
class AttentionLabels(TDD):
    """TDD with a label for the learner's attention besides that for its output.

    Each row has, for every layer and head, a learned distribution over its positions; the inner
    loss adds KL(label || attention), summed over positions, averaged over rows, layers, heads and
    queries (sections 3.2 and 3.3 of the paper). Labels are softmax(raw), raw from N(0, 1).

    Parameters
    ----------
    queries : whose attention is labelled: the first token's (`cls`) or every token's (`all`, of
        which a set holds length x as many numbers).
    weight : what the divergence counts beside the cross-entropy.

    The others are TDD's. So are the rates of the `-cpu` variants but the first inner rate: with
    TDD's 1.0 the set stayed at the majority class through 900 of 1,000 steps on SST-2 with one row
    a class; with 0.1 and a schedule of 250 steps, 79.2% of the selection rows were right after 150,
    more than TDD reaches in 1,000 (both on 20,000 training rows or more, one set, looked at on
    carved rows only).

    References
    ----------
    Maekawa et al., "Dataset Distillation with Attention Labels for Fine-tuning BERT", ACL 2023.
    """

    queries: Literal["cls", "all"] = "cls"
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "weight")

    @property
    def attention(self) -> str:
        return self.queries

    @property
    def attention_weight(self) -> float:
        return self.weight
