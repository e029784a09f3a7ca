"""Inversion of embeddings: a first hypothesis, then corrections ranked by their own embeddings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.core.precision import autocast
from methods.inversion.inverter import Inverter

ROWS = 128
"""Rows that are written together."""

Texts = tuple[str, ...]
Embed = Callable[[Sequence[Texts]], np.ndarray]
"""Features of rows of texts, float32, shape (n, d)."""


@dataclass(frozen=True)
class Hypothesis:
    """A row of texts, its ids and features, and its cosine with what is inverted."""

    texts: Texts
    ids: np.ndarray
    features: np.ndarray
    cosine: float


@dataclass
class Inversion:
    """Inverts many embeddings at once; every step writes for all of them together.

    A step takes each of the `beams` best hypotheses of a target, lets the corrector write `beams`
    rows from it, embeds what is new, and keeps the `beams` best of old and new by their cosine with
    the target (vec2text's sequence-level beam; its code keeps of the new ones only, so that a good
    hypothesis may be lost). A target whose hypotheses a step left as they were is done: the same
    input would give the same again.
    """

    inverter: Inverter
    embed: Embed
    beams: int = 1
    precision: str = "float32"

    def steps(self, targets: np.ndarray, count: int) -> Iterator[list[Hypothesis]]:
        """Yield the best hypothesis of each target (n, d) after 0, 1, ... `count` corrections."""
        beams = [
            self._best(target, found)
            for target, found in zip(targets, self._first(targets), strict=True)
        ]
        yield [beam[0] for beam in beams]
        active = list(range(len(targets)))
        for _ in range(count):
            if active:
                tasks = [(i, hypothesis) for i in active for hypothesis in beams[i]]
                new: dict[int, list[Hypothesis]] = defaultdict(list)
                for (i, _), made in zip(tasks, self._corrected(targets, tasks), strict=True):
                    new[i] += made
                still = []
                for i in active:
                    best = self._best(targets[i], [*beams[i], *new[i]])
                    if [h.texts for h in best] != [h.texts for h in beams[i]]:
                        still.append(i)
                    beams[i] = best
                active = still
            yield [beam[0] for beam in beams]

    def invert(self, targets: np.ndarray, count: int) -> list[Hypothesis]:
        """Return the best hypothesis of each target after `count` corrections."""
        return list(self.steps(targets, count))[-1]

    def first_rows(self, targets: np.ndarray) -> list[np.ndarray]:
        """Ids of what the zero-step model writes for each target, greedily."""
        return [row for rows in self._written(targets, 1) for row in rows]

    def _first(self, targets: np.ndarray) -> list[list[Hypothesis]]:
        return self._embedded(list(self._written(targets, self.beams)))

    def _written(self, targets: np.ndarray, beams: int) -> Iterator[list[np.ndarray]]:
        zero = self.inverter.zero
        for part in _parts(range(len(targets))):
            with self._autocast():
                inputs = zero.inputs(self.tensor(targets[list(part)]))
                yield from _grouped(zero.write(inputs, beams), beams)

    def _corrected(
        self, targets: np.ndarray, tasks: Sequence[tuple[int, Hypothesis]]
    ) -> list[list[Hypothesis]]:
        corrector = self.inverter.corrector
        written: list[list[np.ndarray]] = []
        for part in _parts(range(len(tasks))):
            chosen = [tasks[i] for i in part]
            with self._autocast():
                inputs = corrector.inputs(
                    self.tensor(targets[[i for i, _ in chosen]]),
                    self.tensor(np.array([h.features for _, h in chosen])),
                    [h.ids for _, h in chosen],
                )
                written += _grouped(corrector.write(inputs, self.beams), self.beams)
        return self._embedded(written)

    def _embedded(self, written: Sequence[Sequence[np.ndarray]]) -> list[list[Hypothesis]]:
        """Decode and embed rows; equal ones once."""
        writer = self.inverter.writer
        texts = [[writer.decode(ids) for ids in rows] for rows in written]
        distinct = list(dict.fromkeys(row for rows in texts for row in rows))
        features = dict(zip(distinct, self.embed(distinct), strict=True))
        return [
            [
                Hypothesis(row, trimmed(made, writer.eos), features[row], np.nan)
                for row, made in zip(rows, ids, strict=True)
            ]
            for rows, ids in zip(texts, written, strict=True)
        ]

    def _best(self, target: np.ndarray, found: Iterable[Hypothesis]) -> list[Hypothesis]:
        """The `beams` different hypotheses nearest to the target; of equals the earlier."""
        unique = {h.texts: h for h in reversed(list(found))}
        ranked = [
            Hypothesis(h.texts, h.ids, h.features, cosine(h.features, target))
            for h in reversed(list(unique.values()))
        ]
        return sorted(ranked, key=lambda h: -h.cosine)[: self.beams]

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """An array on the inverter's device."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.inverter.zero.device)

    def _autocast(self) -> torch.autocast:
        return autocast(self.precision, self.inverter.zero.device)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two vectors; 0 where one is zero."""
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0


def trimmed(ids: np.ndarray, eos: int) -> np.ndarray:
    """Ids up to and with the end; what has no end gets none."""
    ends = np.flatnonzero(ids == eos)
    return ids[: ends[0] + 1] if len(ends) else ids


def _parts(rows: range) -> Iterator[range]:
    for start in range(0, len(rows), ROWS):
        yield rows[start : start + ROWS]


def _grouped(rows: Sequence[np.ndarray], size: int) -> list[list[np.ndarray]]:
    return [list(rows[i : i + size]) for i in range(0, len(rows), size)]
