"""Ranks within a family, in which methods that can't be told apart share a place."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from evaluators.statistics.family import ALPHA, holm, means_by_name
from evaluators.statistics.sets import Scores
from evaluators.statistics.welch import welch_pairs


@dataclass(frozen=True)
class Rank:
    """The place of one method.

    Attributes:
        rank: 1 + the number of methods significantly better, the best place it can claim; None
            if it is not ranked.
        worst: n - the number of methods significantly worse, the last place it may have; None if
            it is not ranked.
        beats: names of the methods significantly worse; two places are equal whatever they beat.
    """

    rank: int | None
    worst: int | None
    beats: frozenset[Hashable] = field(default=frozenset(), compare=False)

    @property
    def interval(self) -> tuple[int | None, int | None]:
        """The places that the data leave open, (rank, worst)."""
        return self.rank, self.worst


def rank_with_ties(cells: Mapping[str, Scores]) -> dict[str, Rank]:
    """Rank the methods of one family; methods not significantly different share a rank.

    Every pair is tested by Welch on set means, with Holm over all pairs; "significantly better"
    is p < 0.05 after that. With n ranked methods::

        rank  = 1 + #(significantly better)        worst = n - #(significantly worse)

    A place is thus lost only to a method that is shown to be better. "Not told apart" does not
    carry over: if only A > C is shown, A and B are 1st and C is 2nd, though B and C tie. So ranks
    need not run 1, 1, 3, and `worst` says what is open. The correction is over more tests than
    that of the stars: a method may have a star and yet share the rank of the reference.

    Methods with fewer than 2 sets (the full-data row) have no set variance: they are not ranked
    and do not count in n.

    Raises:
        ValueError: a cell is malformed (it is named).
    """
    means = {name: m for name, m in means_by_name(cells).items() if len(m) >= 2}
    pairs = list(combinations(means, 2))
    tests = welch_pairs([means[a] for a, _ in pairs], [means[b] for _, b in pairs])
    beaten: dict[str, set[str]] = {name: set() for name in means}
    better = dict.fromkeys(means, 0)
    for (a, b), test, p in zip(pairs, tests, holm([test.p for test in tests]), strict=True):
        if p < ALPHA:
            winner, loser = (a, b) if test.difference > 0 else (b, a)
            better[loser] += 1
            beaten[winner].add(loser)
    return {
        name: Rank(1 + better[name], len(means) - len(beaten[name]), frozenset(beaten[name]))
        if name in means
        else Rank(None, None)
        for name in cells
    }
