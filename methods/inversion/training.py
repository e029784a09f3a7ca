"""An inverter is trained on a pool: zero-step model, its hypotheses, corrector; resumable."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmark.core.checkpoint import Weights
from benchmark.core.finetune.batches import training_batches
from benchmark.core.finetune.recipe import Recipe
from benchmark.core.journal import Journal
from benchmark.core.pool import Pool
from benchmark.core.precision import autocast
from benchmark.core.seeding import numpy_generator, seed_of
from methods.inversion.arrays import kept
from methods.inversion.correction import Inversion, Texts, trimmed
from methods.inversion.fidelity import note_fidelity
from methods.inversion.inverter import CORRECTOR, TINY, ZERO, Inverter, new_inverter
from methods.language_models.sampling import columns_of
from methods.language_models.training import Phase, Trainer

INVERTER = "inverter"
"""Folder of the trained inverter within a state."""

HELD_OUT, HELD_OUT_ROWS = 0.05, 200
CHUNK = 1_024
"""Hypotheses that are kept together: what a kill loses at most."""

Backward = Callable[[np.ndarray], torch.Tensor]


@dataclass(frozen=True)
class InverterPlan:
    """All that an inverter is made of, besides the pool and the encoder's files.

    Attributes
    ----------
    inverter : catalogue name of a T5, or `tiny`.
    encoder : whose features it inverts.
    max_length : tokens that it reads and writes of a row, end included.
    recipe, corrector_recipe : how the two models are trained; None for no corrector.
    rows : of the pool that are trained on at most, drawn in the classes' proportions; 0 for all.
    """

    inverter: str
    encoder: str
    max_length: int
    recipe: Recipe
    corrector_recipe: Recipe | None
    rows: int = 0


@dataclass(frozen=True)
class _Rows:
    """What is trained on: ids and embeddings of rows, cut to the length."""

    ids: list[np.ndarray]
    texts: list[Texts]
    features: np.ndarray


def embedder(pool: Pool, encoder: str) -> Callable[[Sequence[Texts]], np.ndarray]:
    """A function that embeds rows of texts as the pool's rows are."""
    return lambda rows: pool.services.encode(encoder, columns_of(pool.text_columns, rows))


def train_inverter(pool: Pool, plan: InverterPlan, folder: Path, rng: np.random.Generator) -> None:
    """Train an inverter on the pool and save it in `folder / "inverter"`.

    A twentieth of the pool, at most 200 rows, is held out; how well these are inverted is noted in
    the journal. The corrector learns from what the zero-step model writes for the training rows;
    those that it writes without a fault are left out. It starts from the pretrained T5, as vec2text
    has it, or, where there is none, from the zero-step model. A killed training goes on where it
    was.
    """
    seed = int(rng.integers(2**63))
    rest, held_out = pool.split(HELD_OUT, rng)
    held_out = held_out.subset(np.arange(len(held_out))[:: -(-len(held_out) // HELD_OUT_ROWS)])
    if 0 < plan.rows < len(rest):
        rest = rest.resample(plan.rows / len(rest), rng)
    made = new_inverter(plan.inverter, pool, pool.embed(plan.encoder), plan.max_length, seed)
    journal = Journal(folder)
    trained = folder / "trained"
    trained.mkdir(exist_ok=True)
    rows = _rows(rest, made, plan.encoder, folder / "rows.npy")
    inversion = Inversion(made, embedder(pool, plan.encoder), precision=plan.recipe.precision)

    def zero_step(batch: np.ndarray) -> torch.Tensor:
        inputs = made.zero.inputs(inversion.tensor(rows.features[batch]))
        return made.zero.loss(inputs, [rows.ids[i] for i in batch])

    def finish(corrections: int | None = None) -> None:
        with journal.phase("fidelity"):
            rows_held_out = _rows(held_out, made, plan.encoder, None)
            note_fidelity(inversion, rows_held_out, journal, corrections)
        made.save(folder / INVERTER)
        shutil.rmtree(trained)
        for path in folder.glob("*.npy"):
            path.unlink()

    _train(made.zero, "inverter", pool, plan.recipe, rows, None, zero_step, trained / ZERO, seed)
    if plan.corrector_recipe is None:
        finish(0)
        return
    with journal.phase("hypotheses"):
        written, features = _hypotheses(inversion, rows, pool, folder)
    pairs = zip(written, rows.ids, strict=True)
    wrong = [i for i, (made_ids, ids) in enumerate(pairs) if not np.array_equal(made_ids, ids)]
    journal.find("inverter_exact_on_training_rows", 1 - len(wrong) / len(rows.ids))

    def correct(batch: np.ndarray) -> torch.Tensor:
        inputs = made.corrector.inputs(
            inversion.tensor(rows.features[batch]),
            inversion.tensor(features[batch]),
            [written[i] for i in batch],
        )
        return made.corrector.loss(inputs, [rows.ids[i] for i in batch])

    if plan.inverter == TINY:
        made.corrector.start_from(made.zero)
    learned_from = np.array(wrong if wrong else range(len(rows.texts)))
    recipe = plan.corrector_recipe
    _train(
        made.corrector, "corrector", pool, recipe, rows, learned_from, correct,
        trained / CORRECTOR, seed,
    )  # fmt: skip
    finish()


def _rows(pool: Pool, made: Inverter, encoder: str, file: Path | None) -> _Rows:
    """Cut rows to the length that is written, and embed anew those that were cut.

    An embedding of a whole text would tell of what the inverter is never shown.
    """
    ids, cut = made.writer.encode(pool.texts())
    columns = pool.texts()
    stripped = [[text.strip() for text in column] for column in columns.values()]
    texts = list(zip(*stripped, strict=True))
    for i in np.flatnonzero(cut):
        texts[i] = made.writer.decode(ids[i])

    def compute() -> np.ndarray:
        features = np.array(pool.embed(encoder))
        if cut.any():
            shorter = [texts[i] for i in np.flatnonzero(cut)]
            features[cut] = embedder(pool, encoder)(shorter)
        return features

    return _Rows(ids, texts, compute() if file is None else kept(file, compute))


def _train(
    model: torch.nn.Module,
    name: str,
    pool: Pool,
    recipe: Recipe,
    rows: _Rows,
    chosen: np.ndarray | None,
    loss_of: Backward,
    done: Path,
    seed: int,
) -> None:
    """Train one of the models on the `chosen` rows, unless a try before has finished it."""
    weights = Weights(done, model)
    if weights.load():
        model.eval()
        return
    chosen = np.arange(len(rows.ids)) if chosen is None else chosen
    phase = Phase(name, f"{pool.task}: {name}", recipe)
    trainer = Trainer(model, phase, done.parent.parent, seed, pool.services.report)
    order = numpy_generator(seed_of("inverter-batches", seed=seed, phase=name))
    size = recipe.rows_per_step(len(chosen))
    batches = list(training_batches(len(chosen), size, recipe.steps, order))

    def backward(batch: np.ndarray, parts: int) -> float:
        tokens, total = sum(len(rows.ids[i]) for i in batch), 0.0
        device = next(model.parameters()).device
        for part in np.array_split(batch, parts):
            with autocast(recipe.precision, device):
                loss = loss_of(part) / tokens
            loss.backward()
            total += float(loss.detach())
        return total

    for step in trainer.steps():
        batch = chosen[batches[step]]
        trainer.update(step, lambda parts, batch=batch: backward(batch, parts))
    weights.save(recipe.steps)
    trainer.checkpoint.remove()


def _hypotheses(
    inversion: Inversion, rows: _Rows, pool: Pool, folder: Path
) -> tuple[list[np.ndarray], np.ndarray]:
    """What the zero-step model writes for every row, and its features; kept in chunks."""
    writer = inversion.inverter.writer
    ids: list[np.ndarray] = []
    features = []
    for number, start in enumerate(range(0, len(rows.ids), CHUNK)):
        part = rows.features[start : start + CHUNK]

        def write(part: np.ndarray = part) -> np.ndarray:
            written = [trimmed(row, writer.eos) for row in inversion.first_rows(part)]
            table = np.full((len(written), writer.max_length), writer.pad, dtype=np.int64)
            for place, row in enumerate(written):
                table[place, : len(row)] = row
            return table

        table = kept(folder / f"hypotheses-{number}.npy", write)
        made = [trimmed(row[: _length(row, writer.pad)], writer.eos) for row in table]
        ids += made
        features.append(
            kept(
                folder / f"features-{number}.npy",
                lambda made=made: inversion.embed([writer.decode(row) for row in made]),
            )
        )
        done = min(start + CHUNK, len(rows.ids))
        pool.services.report(f"{pool.task}: hypotheses", done, len(rows.ids))
    return ids, np.concatenate(features)


def _length(row: np.ndarray, pad: int) -> int:
    filled = np.flatnonzero(row != pad)
    return int(filled[-1]) + 1 if len(filled) else 0
