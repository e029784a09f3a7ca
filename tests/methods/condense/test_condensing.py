"""Retrieval and the choice among what was written, with rewards and answers that are given."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.method import METHODS
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from methods.rewriting.condensing import Condensing
from methods.rewriting.writers import Answer

TOY = METHODS.cls("condense-lm").toy
CLASSES = ("yes", "no")


class Rewards:
    """The chance of the first class is the last word of a text, in percent."""

    def read(self, columns):
        chances = np.array([int(text.split()[-1]) / 100 for text in next(iter(columns.values()))])
        return np.stack([chances, 1 - chances], 1)

    def little_trained(self):
        return lambda texts: texts


class PoolRewards(Rewards):
    def __init__(self, pool):
        self.pool = pool

    def read_pool(self, rows):
        return self.read(self.pool.texts(rows))


class Answers:
    """Answers of a writer, one after the other, the last one again and again."""

    def __init__(self, *texts):
        self.texts = list(texts)

    def answers(self, prompt, seeds, most, parted=False):
        return [Answer(self.texts.pop(0) if len(self.texts) > 1 else self.texts[0], 1)
                for _ in seeds]  # fmt: skip


def condensing(chances, writer=None, **params):
    """Rows of the class "yes" whose chances are these, and as many of the other."""
    texts = [f"Row {i} {chance}" for i, chance in enumerate(chances)]
    texts += [f"Other {i} 0" for i in range(len(chances))]
    labels = np.repeat([0, 1], len(chances))
    features = np.arange(len(texts), dtype=np.float32)[:, None]
    pool = Pool("t", {"text": texts}, labels, CLASSES, embed=lambda name: features)
    method = METHODS.build(
        "condense-lm",
        {**TOY, "least_representative": 0.8, "least_coverage": 0.3, "agreeing": True, **params},
    )
    return Condensing(pool, "x", PoolRewards(pool), writer, method.plan(), "condense-lm", 1)


def retrieved(made):
    return [row[0] for row in made._retrieve(0, made.known, numpy_generator(1))]


def test_rows_that_meet_both_thresholds_are_shown_where_they_are_few():
    """Of rows that are not eligible, the first has the largest reward and is told already."""
    made = condensing([99, 85, 70, 60, 82], retrieved=3)
    told = np.array([0.99, 0.0, 0.0, 0.0, 0.0])
    made.known = lambda texts: np.stack([told, 1 - told], 1)
    assert retrieved(made) == ["Row 0 99", "Row 1 85", "Row 4 82"]
    told[2] = 0.69
    made.plan = METHODS.build("condense-lm", {**TOY, "retrieved": 4}).plan()
    assert retrieved(made) == ["Row 0 99", "Row 1 85", "Row 2 70", "Row 4 82"]
    told[:] = [0.99, 0.0, 0.69, 0.0, 0.0]
    made.plan = METHODS.build("condense-lm", {**TOY, "retrieved": 2, "coverage_weight": 0.0}).plan()
    assert retrieved(made) == ["Row 1 85", "Row 4 82"]


def written(made, wanted=2):
    examples = {name: [("Row 0 99",)] for name in CLASSES}
    return made._write(0, wanted, examples, "", None, 0)


def test_copies_of_real_rows_are_left_out_and_counted():
    copies = "1. row  0 99\n2. OTHER 1 0\n3. row 0 95\n4. new 90"
    made = condensing([99, 85], Answers(copies))
    assert written(made) == [("row 0 95",), ("new 90",)]
    made = condensing([99, 85], Answers("1. ROW 1\t85\n2. Other 0  0\n3. new 90"))
    with pytest.raises(BenchmarkError, match=r"1 of 2 rows .*\d+ copied"):
        written(made)
