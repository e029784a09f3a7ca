"""What the full DiLM table would cost on 1 to 64 GPUs: `python docs/cluster_cost.py`.

Seconds come from the SST-2 rows of `leaderboards/results/dilm-offline.parquet`, measured on two CPU
cores; what turns them into seconds of other models on a GPU was not measured and is listed with
the result. Jobs are then dealt out as the executor `ray` deals them, one a GPU: sets, of which
those of a generator wait until it is learned, and the trainings of every cell whose sets are there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from benchmark.core.catalogue import Catalogue
from benchmark.core.method import METHODS
from benchmark.makespan import Step, makespan

ROWS = Path(__file__).parents[1] / "leaderboards" / "results" / "dilm-offline.parquet"
GPUS = (1, 8, 16, 64)
BATCH = 64  # rows of a step: a set that is larger costs no more for each
MEASURED_TEST_ROWS = 872
TINY_GENERATOR, MINILM = 3.2, 10.7  # million weights that every token passes
WEIGHTS = {
    "gpt2": 85.0,
    "bert-base": 85.0,
    "roberta-base": 85.0,
    "xlnet-base": 92.0,
    "bert-large": 302.0,
}
"""Assumed: a model's seconds are to another's as the weights of their layers, in millions."""


@dataclass(frozen=True)
class Measured:
    """Medians of the rows: seconds of a training a row of its set, of a prediction a test row."""

    train_row: float
    predict_row: float
    set_seconds: dict[str, float]
    phases: dict[str, float]
    steps: dict[str, float]

    @classmethod
    def read(cls, path: Path) -> Measured:
        """Read the rows of MiniLM, and what `dilm-cpu` learned once."""
        rows = pd.read_parquet(path)
        rows = rows[(rows.status == "ok") & (rows.task == "sst2")]
        tuned = rows[rows.learner == "minilm"]
        dilm = rows[rows.method == "dilm-cpu"].iloc[0]
        phases, params = json.loads(dilm.preparation), json.loads(dilm.params)
        return cls(
            float((tuned.train_seconds / tuned.set_rows).median()),
            float(tuned.predict_seconds.median()) / MEASURED_TEST_ROWS,
            rows.groupby("method").distil_seconds.median().to_dict(),
            {name: phases[f"phase_{name}"] for name in ("language_model", "learners", "matching")},
            {"language_model": params["lm_steps"] * params["lm_batch"]},
        )


@dataclass(frozen=True)
class Jobs:
    """Seconds on one GPU of every job, in the order in which they are given out.

    `learned` says for a set which state it waits for, `made` for a training which sets.
    """

    states: list[float] = field(default_factory=list)
    sets: list[float] = field(default_factory=list)
    trainings: list[float] = field(default_factory=list)
    learned: list[tuple[int, ...]] = field(default_factory=list)
    made: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def kinds(self) -> Sequence[list[float]]:
        """The three lists."""
        return self.states, self.sets, self.trainings

    def total(self) -> float:
        """Seconds of all."""
        return sum(map(sum, self.kinds))

    def wall(self, gpus: int) -> float:
        """Seconds until all is done on so many GPUs."""
        before = len(self.states)
        steps = [Step(seconds) for seconds in self.states]
        steps += [Step(*job) for job in zip(self.sets, self.learned, strict=True)]
        for seconds, sets in zip(self.trainings, self.made, strict=True):
            steps.append(Step(seconds, tuple(before + number for number in sets)))
        return makespan(steps, gpus)


def jobs_of_dilm(measured: Measured, speed_up: float) -> Jobs:
    """The suite `dilm` under its protocol, cell by cell."""
    catalogue = Catalogue.load()
    suite = catalogue.suite("dilm")
    protocol = catalogue.protocol(suite.protocol)
    generator = METHODS.build("dilm")
    bigger = WEIGHTS["gpt2"] / TINY_GENERATOR
    steps = generator.lm_steps * generator.lm_batch / measured.steps["language_model"]
    language_model = measured.phases["language_model"] * bigger * steps
    matching = (measured.phases["learners"] + measured.phases["matching"]) * bigger
    as_cpu = {"dilm": "dilm-cpu", "vanilla-lm": "vanilla-lm-cpu"}
    jobs = Jobs()
    made: dict[tuple[str, str, int], tuple[int, ...]] = {}
    for task in suite.tasks:
        jobs.states.append((language_model + matching) / speed_up)
        for method in suite.methods:
            seconds = measured.set_seconds[as_cpu.get(method, method)]
            seconds *= bigger if method in as_cpu else 1.0
            for dpc in protocol.dpc:
                first = len(jobs.sets)
                jobs.sets.extend([seconds / speed_up] * protocol.sets)
                waits = (len(jobs.states) - 1,) if method in as_cpu else ()
                jobs.learned.extend([waits] * protocol.sets)
                made[task, method, dpc] = tuple(range(first, len(jobs.sets)))
    for learner in suite.learners:
        slower = WEIGHTS[learner] / MINILM / speed_up
        for (name, _, dpc), sets in made.items():
            task = catalogue.task(name)
            reading = measured.predict_row * task.rows[task.test]
            training = measured.train_row * min(BATCH, dpc * task.n_classes)
            seconds = protocol.sets * protocol.seeds * (training + reading) * slower
            jobs.trainings.append(seconds)
            jobs.made.append(sets)
    return jobs


def table(jobs: Jobs, gpus: Iterable[int]) -> str:
    """Markdown: hours and how evenly the jobs pack."""
    lines = ["| GPUs | hours | GPU-hours paid | of them busy |", "|---:|---:|---:|---:|"]
    for count in gpus:
        hours = jobs.wall(count) / 3600
        busy = jobs.total() / 3600 / (hours * count)
        lines.append(f"| {count} | {hours:.1f} | {hours * count:.0f} | {busy:.0%} |")
    return "\n".join(lines)


def main() -> None:
    """Print the jobs, the table, and what was assumed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--speed-up", type=float, default=50.0, help="assumed: a GPU / two cores")
    speed_up = parser.parse_args().speed_up
    measured = Measured.read(ROWS)
    jobs = jobs_of_dilm(measured, speed_up)
    for name, seconds in zip(("states", "sets", "cells"), jobs.kinds, strict=True):
        hours, longest = sum(seconds) / 3600, max(seconds) / 60
        print(f"{len(seconds)} {name}: {hours:.1f} GPU-hours, the longest {longest:.1f} min")
    print(f"\n{table(jobs, GPUS)}\n")
    print(f"measured: {measured.train_row:.2f} s a row of the set, ", end="")
    print(f"{1000 * measured.predict_row:.2f} ms a test row (MiniLM, two cores); ", end="")
    print(", ".join(f"{name} {seconds:.0f} s" for name, seconds in measured.phases.items()))
    print(
        f"assumed: a GPU is {speed_up:g} times as fast; seconds as weights; rows as long as SST-2's"
    )


if __name__ == "__main__":
    main()
