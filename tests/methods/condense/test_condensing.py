"""Retrieval and the choice among what was written, with rewards and answers that are given."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.method import METHODS
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator
from methods.rewriting.condensing import Condensing
from methods.rewriting.rewards import Rewards
from methods.rewriting.writers import Answer

TOY = METHODS.cls("condense-lm").toy
CLASSES = ("yes", "no")


class GivenRewards(Rewards):
    """The chance of the first class is the last word of a text, in percent."""

    def __init__(self, pool):
        self.pool, self.reads = pool, []

    def read(self, columns):
        chances = np.array([int(text.split()[-1]) / 100 for text in next(iter(columns.values()))])
        return np.stack([chances, 1 - chances], 1)

    def read_pool(self, rows):
        self.reads.append(rows.tolist())
        return self.read(self.pool.texts(rows))

    def little_trained(self):
        return lambda texts: texts

    def trained_on(self, columns, labels, seed):
        raise AssertionError("the tests say what is known")


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
    return Condensing(pool, "x", GivenRewards(pool), writer, method.plan(), "condense-lm", 1)


def retrieved(made):
    return [row[0] for row in made._retrieve(0, made.known, numpy_generator(1))]


def test_rows_that_meet_both_thresholds_are_shown_where_they_are_few():
    """The fourth alone does: the others are told, or not typical, though their rewards are high."""
    made = condensing([99, 98, 97, 82, 60], retrieved=3)
    told = np.array([0.99, 0.98, 0.97, 0.4, 0.0])
    made.known = lambda texts: np.stack([told, 1 - told], 1)
    assert retrieved(made) == ["Row 0 99", "Row 1 98", "Row 3 82"]
    told[:3] = 0.85
    assert retrieved(made) == ["Row 0 99", "Row 1 98", "Row 3 82"]
    made = condensing([99, 98, 97, 82, 60], retrieved=3, coverage_weight=1.0)
    made.known = lambda texts: np.stack([told, 1 - told], 1)
    assert retrieved(made) == ["Row 0 99", "Row 3 82", "Row 4 60"]


def test_what_real_rows_are_worth_is_computed_once():
    made = condensing([99, 85, 70])
    made.known = None
    retrieved(made)
    assert made.rewards.reads == [[0, 1, 2, 3, 4, 5]], "all rows, before anything is written"
    made.known = lambda texts: texts
    made.typical = None
    retrieved(made)
    assert made.rewards.reads[1:] == [[0, 1, 2]], "those that another classifier is asked about"


def written(made, wanted=2):
    examples = {name: [("Row 0 99",)] for name in CLASSES}
    return made._write(0, wanted, examples, "", None, 0)


@pytest.mark.parametrize(("weight", "chosen"), [(0.2, "new 85"), (0.0, "old 90")])
def test_what_is_not_yet_told_counts_in_the_choice_among_answers(weight, chosen):
    """Representativeness .90 against .85; of the first all is told, of the second nothing."""
    made = condensing([99], Answers("1. old 90", "1. new 85"), coverage_weight=weight, answers=2)
    known = lambda texts: np.array([[0.9, 0.1] if t.startswith("old") else [0.0, 1.0]  # noqa: E731
                                    for t in made.heard])  # fmt: skip
    read = made.rewards.read
    made.rewards.read = lambda columns: setattr(made, "heard", columns["text"]) or read(columns)
    examples = {name: [("Row 0 99",)] for name in CLASSES}
    assert made._write(0, 1, examples, "", known, 0) == [(chosen,)]


def test_copies_of_real_rows_are_left_out_and_counted():
    copies = "1. row  0 99\n2. OTHER 1 0\n3. row 0 95\n4. new 90"
    made = condensing([99, 85], Answers(copies))
    assert written(made) == [("row 0 95",), ("new 90",)]
    made = condensing([99, 85], Answers("1. ROW 1\t85\n2. Other 0  0\n3. new 90"))
    with pytest.raises(BenchmarkError, match=r"1 of 2 rows .*\d+ copied"):
        written(made)
