"""Random selection draws uniformly, without replacement, independently per class."""

import numpy as np

from benchmark.core.method import METHODS, Budget
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from benchmark.testing import toy_pool


def test_every_subset_is_equally_likely():
    pool = Pool("t", {"text": list("abcd")}, np.zeros(4, dtype=np.int64), ["only"])
    method, rng = METHODS.build("random"), numpy_generator(0)
    subsets = [frozenset(method.select(pool, 2, rng).tolist()) for _ in range(6000)]
    counts = [subsets.count(subset) for subset in set(subsets)]
    assert len(counts) == 6
    # 1,000 expected of each, standard deviation 29.
    assert min(counts) > 880
    assert max(counts) < 1120


def test_classes_are_drawn_independently():
    # The released DiLM code seeds anew for each class, so that classes of equal size give the
    # same positions. Here they agree no more often than chance: 1 in 12.
    pool, method = toy_pool(2, per_class=12), METHODS.build("random")
    sets = [method.distil(pool, Budget.dpc(1, 2), numpy_generator(s)) for s in range(240)]
    agree = sum(made.rows[0] == made.rows[1] - 12 for made in sets)
    assert 5 < agree < 45


def test_rows_point_into_the_whole_pool_even_from_a_resample():
    pool = toy_pool(2, per_class=12)
    part = pool.resample(0.5, numpy_generator(1))
    made = METHODS.build("random").distil(part, Budget.dpc(6, 2), numpy_generator(2))
    assert sorted(made.rows) == part.indices.tolist()
    assert list(made.columns["text"]) == pool.texts(made.rows)["text"]
