"""DaLLME without inversion: the real row nearest each centroid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from benchmark.core.method import Selector, register
from benchmark.core.parameters import require_at_least
from benchmark.core.pool import Pool
from methods.centroids import Clustering, nearest_rows


@register("dallme-nearest", paper="tao2024dallme")
class DaLLMENearest(Selector):
    """Take the centroids of `dallme` and, for each, the real row of the class nearest to it.

    The control of the paper's section 5.5, which asks whether vec2text is necessary: everything is
    as in `dallme` but the inverter. `k-centers` differs from it in this: there the row is sought
    among the members of the cluster, and centroids are not put back on the sphere.

    Parameters
    ----------
    encoder : whose features are clustered; `NAME-prompt` for those with a prompt of the task.
    clustering, restarts, renormalise : as in `dallme`.

    References
    ----------
    Y. Tao et al., "Textual dataset distillation via language model embedding", Findings of EMNLP
    2024.
    """

    encoder: str = "minilm"
    clustering: Literal["kmeans", "gmm"] = "kmeans"
    restarts: int = 1
    renormalise: bool = True

    def __post_init__(self) -> None:
        require_at_least(self, 1, "restarts")

    def select(self, pool: Pool, size: int, rng: np.random.Generator) -> Sequence[int]:
        """Return `size` distinct rows, one for each centroid."""
        features = np.asarray(pool.embed(self.encoder))
        clustering = Clustering(self.clustering, self.restarts, self.renormalise)
        return nearest_rows(features, clustering.centres(features, size, int(rng.integers(2**32))))
