"""What a job needs of the machine that it runs on: declared by methods and learners."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """Resources that one job (a set, or the trainings of a cell) holds while it runs on a cluster.

    Attributes
    ----------
    cpus : cores, 1 or more; the job computes with as many threads.
    gpus : share of a GPU where the cluster has any, and nothing elsewhere: 0.5 puts two jobs on
        one GPU beside each other. Above 1 a whole number, as GPUs can't be shared in other ways.

    Raises `ValueError` for a share that no scheduler could grant.
    """

    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise ValueError(f"cpus is {self.cpus}; a job needs 1 or more")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ValueError(f"gpus is {self.gpus}; a share lies in 0 to 1, more are whole numbers")
