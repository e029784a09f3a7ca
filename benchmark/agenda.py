"""What of a plan can be worked on now: sets at once, a cell's trainings when its last set is made.

So nobody waits at a barrier: while one worker learns a generator for an hour, others train on the
sets that are there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmark.cells import Cell
from benchmark.work import SetJob, TrainJob


class Agenda:
    """The sets that are to be made, and the trainings of the cells that wait for them.

    `look_up` is asked once for each cell, when all its sets are made or have failed: what is to be
    trained, if anything. `trainings` counts them; for a cell that waits, the most there can be.
    """

    def __init__(
        self,
        sets: Mapping[str, SetJob],
        cells: Sequence[Cell],
        look_up: Callable[[Cell], TrainJob | None],
    ) -> None:
        self.sets = list(sets.values())
        self.trainings = 0
        self._cells = cells
        self._look_up = look_up
        self._lacks: list[set[str]] = []
        self._waiting: dict[str, list[int]] = defaultdict(list)
        self._ready: list[int] = []
        for number, cell in enumerate(cells):
            lacks = {cell.set_key(i).digest for i in range(cell.n_sets)} & sets.keys()
            self._lacks.append(lacks)
            for key in lacks:
                self._waiting[key].append(number)
            if not lacks:
                self._ready.append(number)
            self.trainings += _at_most(cell)
        self._jobs = self._look_up_ready()

    def made(self, set_key: str) -> None:
        """A set is there, or has failed: cells that waited for nothing else are ready."""
        for number in self._waiting.pop(set_key, ()):
            self._lacks[number].discard(set_key)
            if not self._lacks[number]:
                self._ready.append(number)

    def more(self) -> Iterable[TrainJob]:
        """The trainings that became possible since the last call, in the order of the cells."""
        jobs, self._jobs = [*self._jobs, *self._look_up_ready()], []
        return jobs

    def _look_up_ready(self) -> list[TrainJob]:
        ready, self._ready = sorted(self._ready), []
        jobs = []
        for number in ready:
            cell = self._cells[number]
            job = self._look_up(cell)
            self.trainings += (len(job.runs) if job else 0) - _at_most(cell)
            if job is not None:
                jobs.append(job)
        return jobs


def _at_most(cell: Cell) -> int:
    return cell.n_sets * (1 if cell.learner.deterministic else cell.n_seeds)
