"""Intervals of a page's averages, by bootstrap, for which each cell is resampled once.

An average over one task is that task's score, with the interval that stands beside it elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmark.core.records import CellId
from benchmark.core.seeding import numpy_generator, seed_of
from evaluators.statistics import aggregate_interval, resampled_scores, welch_sets
from leaderboards.model import CellResult

RESAMPLES = 1000
"""Of a bootstrap: its noise in a 95% bound is a tenth of the standard error."""


@dataclass(frozen=True)
class Resamples:
    """Resampled scores of cells, seeded by the cell's identity, so that no cell moves another."""

    _drawn: dict[CellId, np.ndarray] = field(default_factory=dict)

    def of(self, cell: CellResult) -> np.ndarray:
        """Return the cell's score in each resample, shape (RESAMPLES,); the cell has runs."""
        if cell.id not in self._drawn:
            at = {name: getattr(cell.id, name) for name in CellId.__dataclass_fields__}
            rng = numpy_generator(seed_of("leaderboard interval", **at))
            self._drawn[cell.id] = resampled_scores(cell.scores, rng=rng, n_resamples=RESAMPLES)
        return self._drawn[cell.id]

    def interval(
        self, cells: Sequence[CellResult], less: Sequence[CellResult] = ()
    ) -> tuple[float, float] | None:
        """Return the 95% interval of the mean over cells, or of that less another row's mean.

        None where a cell has fewer than two sets: its seeds say nothing of another set.
        """
        if not cells or any(len(cell.scores) < 2 for cell in (*cells, *less)):
            return None
        if len(cells) == 1 and less:
            test = welch_sets(cells[0].scores, less[0].scores)
            return test.ci_low, test.ci_high
        if len(cells) == 1:
            return cells[0].summary.ci_low, cells[0].summary.ci_high
        total = np.mean([self.of(cell) for cell in cells], axis=0)
        if less:
            total = total - np.mean([self.of(cell) for cell in less], axis=0)
        ours, theirs = ([cell.scores for cell in row] for row in (cells, less))
        return aggregate_interval(total, ours, theirs)
