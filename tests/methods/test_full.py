"""The full method keeps everything, whatever the budget."""

import numpy as np

from benchmark.core.method import METHODS, Budget
from benchmark.core.seeding import numpy_generator
from benchmark.testing import toy_pool


def test_every_row_is_kept_in_order():
    pool = toy_pool(3, per_class=5, pair=True)
    made = METHODS.build("full").distil(pool, Budget.dpc(0, 3), numpy_generator(0))
    assert {name: list(texts) for name, texts in made.columns.items()} == pool.texts()
    np.testing.assert_array_equal(made.labels, pool.labels)
    assert made.rows == tuple(range(15))
