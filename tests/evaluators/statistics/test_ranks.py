"""Ranks of the methods of one family share ties."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_cells import cell

from evaluators.statistics import rank_with_ties, welch_sets


def test_ranks_share_ties_and_leave_out_the_full_data_row():
    cells = {
        "random": cell(0.6, 1),
        "herding": cell(0.7, 2),
        "k-centers": cell(0.7, 3),
        "dilm": cell(0.8, 4),
        "full": [[0.9, 0.91]],
    }
    ranks = {name: rank.interval for name, rank in rank_with_ties(cells).items()}
    assert ranks == {
        "random": (4, 4),
        "herding": (2, 3),
        "k-centers": (2, 3),
        "dilm": (1, 1),
        "full": (None, None),
    }


def test_ranks_where_ties_do_not_carry_over():
    base = np.linspace(-1, 1, 20)[:, None]
    cells = {"a": base + 0.6, "b": base + 0.3, "c": base}
    ranks = {name: rank.interval for name, rank in rank_with_ties(cells).items()}
    assert ranks == {"a": (1, 2), "b": (1, 3), "c": (2, 3)}


def test_ranks_are_corrected_over_all_pairs():
    base = np.linspace(-1, 1, 20)[:, None]
    pair = {"a": base + 0.42, "b": base}
    assert welch_sets(pair["a"], pair["b"]).p == pytest.approx(0.039, abs=0.001)
    assert rank_with_ties(pair)["b"].rank == 2
    assert rank_with_ties({**pair, "c": base + 0.2})["b"].rank == 1


def test_ranks_of_one_and_of_none():
    assert rank_with_ties({"a": cell(0, 0)})["a"].interval == (1, 1)
    assert rank_with_ties({"full": [[0.9]]})["full"].interval == (None, None)
    assert rank_with_ties({}) == {}
