"""Writing the candidates of a task: each batch is kept once it is done, then all are ranked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.core.journal import Journal
from benchmark.core.pool import Pool
from benchmark.core.seeding import numpy_generator, seed_of
from methods.gradient_matching.closed_form import row_cosines
from methods.language_models.sampling import columns_of
from methods.readable.admm import write_rows
from methods.readable.candidates import Candidate, save, write_json
from methods.readable.learners import GradientLearner, PromptLearner
from methods.readable.opening import open_projector

if TYPE_CHECKING:
    from methods.gradmm import GradMM

WRITTEN = "written"
Row = list[np.ndarray]
"""Token ids of each text of a row."""


class Writing:
    """One task's candidates; a killed try leaves its batches in `folder`, and they are taken up.

    `learner` is the one whose gradients are matched. `split` are the rows to write from and those
    to rank on; `writer` is the part of a small language model, if the method has one.
    """

    def __init__(
        self, method: GradMM, pool: Pool, learner: GradientLearner, split: tuple[Pool, Pool],
        folder: Path, writer: Path | None, seed: int,
    ) -> None:  # fmt: skip
        self.method, self.pool, self.folder, self.seed = method, pool, folder, seed
        self.learner = learner
        self.projector, self.readings = open_projector(method, pool, self.learner, writer)
        self.matched, self.ranked = split
        self.journal = Journal(folder)
        if writer is not None and not self.journal.path.exists():
            self.journal.path.write_text(Journal(writer).path.read_text())
        self.lengths = self._lengths()

    def run(self) -> None:
        """Write what is missing, rank all rows, and save them."""
        method, words = self.method, f"{self.pool.task}: {self.method.name}, batches of rows"
        count = -(-method.candidates // method.rows_at_once)
        total, done = count * len(self.pool.classes), 0
        written: list[list[Candidate]] = []
        cosines: list[float] = []
        for label in range(len(self.pool.classes)):
            rows: list[Row] = []
            for number in range(count):
                self.pool.services.report(words, done, total)
                batch = self._batch(label, number)
                rows += [[np.array(text) for text in row] for row in batch["ids"]]
                cosines.append(batch["cosine"])
                done += 1
            with self.journal.phase("ranking"):
                written.append(self._judged(rows, label))
        self.pool.services.report(words, done, total)
        save(self.folder, written)
        self.journal.find("gradient_cosine", float(np.mean(cosines)))
        if method.filter != "none":
            agreeing = [row.agrees for rows in written for row in rows]
            self.journal.find("label_agreement", float(np.mean(agreeing)))

    def _batch(self, label: int, number: int) -> dict[str, Any]:
        """Write one batch of rows, or read what an earlier try has written."""
        path = self.folder / WRITTEN / f"{label}-{number}.json"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            method = self.method
            size = min(method.rows_at_once, method.candidates - number * method.rows_at_once)
            axes = {"seed": self.seed, "label": label, "number": number}
            with self.journal.phase("writing"):
                rng = numpy_generator(seed_of("readable-real", **axes))
                real = method.gradient(self.learner, self.matched, label, rng, "match")
                found, cosine = write_rows(
                    self.learner, self.projector, real, label, (size, self.lengths),
                    self.readings[label], method.plan(), seed_of("readable-start", **axes),
                )  # fmt: skip
            rows = [[ids[row].tolist() for ids in found] for row in range(size)]
            write_json(path, {"ids": rows, "cosine": cosine})
        return json.loads(path.read_text())

    def _judged(self, rows: Sequence[Row], label: int) -> list[Candidate]:
        """Texts of rows, how far their gradients are from real ones, and whether labels agree."""
        learner = self.learner
        rng = numpy_generator(seed_of("readable-rank", seed=self.seed, label=label))
        real = self.method.gradient(learner, self.ranked, label, rng, "rank")
        layer = learner.layer_of_tokens(rows, label)
        distances = 1.0 - row_cosines(real, layer, learner.predictions(label))
        texts = [tuple(self._text(ids) for ids in row) for row in rows]
        agrees = self._agreeing(rows, texts, label)
        return [
            Candidate(row, float(distance), bool(agreed))
            for row, distance, agreed in zip(texts, distances, agrees, strict=True)
        ]

    def _text(self, ids: np.ndarray) -> str:
        return self.learner.tokenizer.decode(ids, clean_up_tokenization_spaces=True).strip()

    def _agreeing(
        self, rows: Sequence[Row], texts: Sequence[tuple[str, ...]], label: int
    ) -> np.ndarray:
        if self.method.filter == "none":
            return np.ones(len(texts), dtype=bool)
        if self.method.filter == "prompt":
            assert isinstance(self.learner, PromptLearner)
            return self.learner.label_scores(rows).argmax(1) == label
        columns = columns_of(self.pool.text_columns, texts)
        features = self.pool.services.encode(self.method.encoder, columns)
        return self._classifier.predict(features) == label

    @cached_property
    def _classifier(self) -> Any:
        """What tells the class of a row by its features, learned from real rows."""
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            features = np.asarray(self.matched.embed(self.method.encoder))
            return LogisticRegression(max_iter=1000).fit(features, self.matched.labels)

    def _lengths(self) -> list[int]:
        """Tokens of each text: the mean of the rows, one at least."""
        if self.method.length:
            return [self.method.length] * len(self.matched.text_columns)
        rows = self.learner.rows_of(self.matched, np.arange(len(self.matched)))
        lengths = np.array([[len(text) for text in row] for row in rows])
        return [max(1, round(float(mean))) for mean in lengths.mean(axis=0)]
