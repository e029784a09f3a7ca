"""Inversion is what it says: models by their definition, corrections that never make it worse."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmark.core.journal import Journal
from benchmark.core.seeding import isolated_torch_rng
from methods.inversion import fidelity
from methods.inversion.correction import Hypothesis, Inversion, cosine
from methods.inversion.fidelity import STEPS, figures, token_f1
from methods.inversion.inverter import load, new_inverter
from methods.inversion.training import embedder
from tests.methods.dallme.conftest import record_inputs


@pytest.fixture
def inverter(pool):
    made = new_inverter("tiny", pool, pool.embed("minilm"), 16, seed=3)
    with isolated_torch_rng(5), torch.no_grad():  # far from the start, so that mistakes show
        for model in (made.zero, made.corrector):
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
    made.zero.eval()
    made.corrector.eval()
    return made


@pytest.fixture
def targets(pool):
    return np.array(pool.embed("minilm")[:10])


def test_shapes_and_parts_of_the_corrector(inverter, targets):
    x, features = torch.from_numpy(targets[:3]), torch.from_numpy(targets[3:6])
    rows = [np.array([5, 6, 7]), np.array([5]), np.array([8, 9])]
    with torch.no_grad():
        corrector = inverter.corrector
        embedded, mask = corrector.inputs(x, features, rows)
        assert embedded.shape == (3, 4 + 3 * 16 + 3, 32)
        assert mask[:, -3:].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
        assert mask[:, :-3].all()
        table = corrector.t5.get_input_embeddings().weight
        expected = {
            1: corrector.of_target(x),
            18: corrector.of_hypothesis(features),
            35: corrector.of_difference(x - features),
            52: table[torch.tensor([[5, 6, 7], [5, 0, 0], [8, 9, 0]])],
        }
        for place, part in expected.items():
            found = embedded[:, place : place + part.shape[1]]
            torch.testing.assert_close(found, corrector.norm(part))
        sep = corrector.norm(table[inverter.writer.eos])
        for place in (0, 17, 34, 51):
            torch.testing.assert_close(embedded[1, place], sep)
        zero, _ = inverter.zero.inputs(x)
        assert zero.shape == (3, 16, 32)


@pytest.mark.parametrize("beams", [1, 2])
def test_a_correction_starts_from_each_hypothesis_and_its_features(
    pool, inverter, targets, monkeypatch, beams
):
    embed = embedder(pool, "minilm")
    inversion = Inversion(inverter, embed, beams)
    shown = record_inputs(monkeypatch)
    found = [h.texts for h in inversion.invert(targets, 0)]
    inversion.invert(targets, 1)
    (batch,) = shown
    texts = [inverter.writer.decode(ids) for ids in batch.ids]
    np.testing.assert_allclose(batch.features, embed(texts), atol=1e-6)
    for target, best in zip(targets, found, strict=True):
        mine = [texts[i] for i in np.flatnonzero((batch.targets == target).all(axis=1))]
        assert mine[0] == best
        assert len(set(mine)) == len(mine) <= beams
    assert len(texts) > (beams - 1) * len(targets)


def test_the_loss_is_that_of_the_library(inverter, targets):
    rows = [np.array([9, 8, 7, inverter.writer.eos]), np.array([9, inverter.writer.eos])]
    inputs = inverter.zero.inputs(torch.from_numpy(targets[:2]))
    labels = torch.tensor([[9, 8, 7, 1], [9, 1, -100, -100]])
    out = inverter.zero.t5(inputs_embeds=inputs[0], attention_mask=inputs[1], labels=labels)
    loss = inverter.zero.loss(inputs, rows) / 6
    torch.testing.assert_close(loss, out.loss)


def test_padding_changes_nothing_in_what_is_corrected(inverter, targets):
    x = torch.from_numpy(targets[:2])
    rows = [np.array([5, 6]), np.arange(5, 15)]
    with torch.no_grad():
        together = inverter.corrector.write(inverter.corrector.inputs(x, x, rows), 1)
        for i in range(2):
            alone = inverter.corrector.write(
                inverter.corrector.inputs(x[i : i + 1], x[i : i + 1], rows[i : i + 1]), 1
            )
            assert inverter.writer.decode(alone[0]) == inverter.writer.decode(together[i])


@pytest.mark.parametrize("beams", [1, 3])
def test_corrections_never_lose_what_was_found(pool, inverter, targets, beams):
    inversion = Inversion(inverter, embedder(pool, "minilm"), beams)
    found = list(inversion.steps(targets, 4))
    assert len(found) == 5
    cosines = np.array([[h.cosine for h in step] for step in found])
    assert (np.diff(cosines, axis=0) >= 0).all()
    for hypothesis, target in zip(found[-1], targets, strict=True):
        again = pool.services.encode("minilm", {"text": [hypothesis.texts[0]]})[0]
        assert hypothesis.cosine == pytest.approx(cosine(again, target), abs=1e-5)


def test_a_wider_beam_starts_no_worse(pool, inverter, targets):
    cosines = [
        np.mean(
            [h.cosine for h in Inversion(inverter, embedder(pool, "minilm"), b).invert(targets, 0)]
        )
        for b in (1, 4)
    ]
    assert cosines[1] >= cosines[0] - 1e-6


def test_targets_that_are_done_are_not_written_again(pool, inverter, targets, monkeypatch):
    inversion = Inversion(inverter, embedder(pool, "minilm"))
    asked = []
    corrected = Inversion._corrected
    monkeypatch.setattr(
        Inversion,
        "_corrected",
        lambda self, t, tasks: asked.append(len(tasks)) or corrected(self, t, tasks),
    )
    found = list(inversion.steps(targets, 12))
    moved = [
        sum(a.texts != b.texts for a, b in zip(before, after, strict=True))
        for before, after in pairwise(found)
    ]
    assert asked == [len(targets), *(n for n in moved if n)][: len(asked)]
    assert len(found) == 13


def test_equal_rows_are_embedded_once(pool, inverter, targets):
    batches = []
    embed = embedder(pool, "minilm")
    inversion = Inversion(inverter, lambda rows: batches.append(rows) or embed(rows))
    inversion.invert(np.repeat(targets[:1], 6, axis=0), 2)
    assert all(len(set(rows)) == len(rows) for rows in batches)
    assert len(batches[0]) == 1


def test_a_saved_inverter_writes_the_same(pool, inverter, targets, tmp_path):
    inverter.save(tmp_path / "inverter")
    again = load(tmp_path / "inverter")
    assert again.dimension == 16
    rows = [np.array([9, 8, 7, 1])] * 10
    with torch.no_grad():
        x = torch.from_numpy(targets)
        first, second = (i.zero.loss(i.zero.inputs(x), rows) for i in (inverter, again))
        assert first == second
    made = [
        [h.texts for h in Inversion(i, embedder(pool, "minilm"), 2).invert(targets, 2)]
        for i in (inverter, again)
    ]
    assert made[0] == made[1]


def test_by_default_0_1_5_and_20_corrections_are_reported(
    pool, inverter, targets, tmp_path, monkeypatch
):
    monkeypatch.setattr(fidelity, "STEPS", STEPS)  # as the module has it; conftest shortens it
    rows = SimpleNamespace(
        texts=[(text,) for text in pool.texts()["text"][:3]], features=targets[:3]
    )
    journal = Journal(tmp_path)
    fidelity.note_fidelity(Inversion(inverter, embedder(pool, "minilm")), rows, journal)
    for name in ("bleu", "token_f1", "exact", "cosine"):
        curve = journal.curves()[f"inversion_{name}"]
        assert list(curve) == [0, 1, 5, 20]
        assert journal.findings()[f"inversion_{name}_after"] == curve[20]


def test_figures_worked_by_hand():
    assert token_f1("a b b c", "b b d") == pytest.approx(2 * 2 / 7)
    assert token_f1("a", "b") == 0
    truth = [("the cat sat on the mat",), ("a dog",)]
    found = [
        Hypothesis(("the cat sat on the mat",), np.zeros(1), np.zeros(1), 1.0),
        Hypothesis(("a cat",), np.zeros(1), np.zeros(1), 0.5),
    ]
    made = figures(truth, found)
    assert made["exact"] == 0.5
    assert made["cosine"] == 0.75
    assert made["token_f1"] == pytest.approx((1 + 0.5) / 2)
    assert 0 < made["bleu"] < 1
    assert figures(truth[:1], found[:1])["bleu"] == pytest.approx(1)
