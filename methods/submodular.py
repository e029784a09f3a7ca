"""Submodular selection: rows that represent the rest, by facility location or graph cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from benchmark.core.method import Selector, register
from benchmark.core.parameters import require_positive
from benchmark.core.pool import Pool
from methods.submodular_functions import FacilityLocation, GraphCut, Objective, lazy_greedy


@register("submodular", paper="guo2022deepcore")
@register("submodular-graph-cut", paper="guo2022deepcore", function="graph-cut")
class Submodular(Selector):
    """Greedily pick, within each class, the rows that represent the class best.

    Similarity is the cosine mapped to [0, 1], s = (1 + cos) / 2, as DeepCore has it. Facility
    location is the sum over all rows of their greatest similarity to a picked one; graph cut is the
    similarity of picked rows to all rows, times `weight`, less that among the picked. The greedy
    choice is at least 1 - 1/e of the best for facility location (Nemhauser et al., 1978). The
    result depends on the pool alone; a smaller budget is a prefix of a larger one.

    DaLLME's baseline "DeepCore" is a submodular choice without a named function or features; this
    is it on the encoder's features. Two libraries do the same and run on Python 3.11 with our
    numpy: apricot-select 0.6.1, which picks the same rows (the tests keep its answers), and
    submodlib-py 0.0.3. Both hold the matrix of all pairs, 58 GB for 120,000 rows in single
    precision; here only blocks of it exist, so that they are not used. DeepCore's own code keeps
    the matrix as well.

    Parameters
    ----------
    function : `facility-location` or `graph-cut`.
    weight : of representation against redundancy in graph cut; DeepCore's is 1.

    References
    ----------
    C. Guo, B. Zhao and Y. Bai, "DeepCore: a comprehensive library for coreset selection in deep
    learning", DEXA 2022.
    M. Minoux, "Accelerated greedy algorithms for maximizing submodular set functions", 1978.
    G. Nemhauser, L. Wolsey and M. Fisher, "An analysis of approximations for maximizing submodular
    set functions", Mathematical Programming 14, 1978.
    """

    encoder: str = "minilm"
    function: Literal["facility-location", "graph-cut"] = "facility-location"
    weight: float = 1.0

    deterministic = True

    def __post_init__(self) -> None:
        require_positive(self, "weight")

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        """Return `size` rows, in the order in which they were picked."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # the order in which threads add up is no part of a result
            return lazy_greedy(self.objective(pool.embed(self.encoder)), size)[0]

    def objective(self, features: np.ndarray) -> Objective:
        """What is maximised, of features (n, d)."""
        if self.function == "graph-cut":
            return GraphCut(features, self.weight)
        return FacilityLocation(features)
