"""An inverter learns from the pool alone, and a killed training ends as an undisturbed one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmark.core.finetune.recipe import Recipe
from benchmark.core.journal import Journal
from benchmark.core.seeding import numpy_generator
from benchmark.testing import toy_pool
from methods.inversion import training
from methods.inversion.inverter import CORRECTOR, ZERO, load
from methods.inversion.training import INVERTER, InverterPlan, train_inverter
from methods.language_models import training as steps_module
from tests.methods.dallme.conftest import record_inputs

RECIPE = Recipe(steps=6, learning_rate=1e-2, warmup=0.1, batch_size=8, precision="float32")
PLAN = InverterPlan("tiny", "minilm", 16, RECIPE, replace(RECIPE, steps=4))


class Killed(Exception):
    """Stands for a kill: nothing after it runs."""


def train(pool, folder, plan=PLAN):
    folder.mkdir(exist_ok=True)
    train_inverter(pool, plan, folder, numpy_generator(4))
    return weights(folder)


def weights(folder):
    from safetensors.torch import load_file

    return {n: load_file(folder / INVERTER / n) for n in (ZERO, CORRECTOR)}


@pytest.mark.parametrize("at", [("inverter", 4), ("corrector", 2), ("hypotheses", 1)])
def test_a_killed_training_ends_as_an_undisturbed_one(pool, tmp_path, monkeypatch, at):
    monkeypatch.setattr(training, "CHUNK", 10)
    undisturbed = train(pool, tmp_path / "whole")
    monkeypatch.setattr(steps_module, "CHECKPOINT_SECONDS", 0.0)
    update, killed, taken = steps_module.Trainer.update, [], []
    first_rows = training.Inversion.first_rows

    def once(self, step, backward):
        taken.append((self.phase.name, step))
        if (self.phase.name, step) == at and not killed:
            killed.append(step)
            raise Killed
        return update(self, step, backward)

    def write_once(self, targets):
        chunks = len(list((tmp_path / "killed").glob("hypotheses-*")))
        if at == ("hypotheses", chunks) and not killed:
            killed.append(1)
            raise Killed
        return first_rows(self, targets)

    monkeypatch.setattr(steps_module.Trainer, "update", once)
    monkeypatch.setattr(training.Inversion, "first_rows", write_once)
    with pytest.raises(Killed):
        train(pool, tmp_path / "killed")
    resumed = train(pool, tmp_path / "killed")
    assert len(taken) <= 6 + 4 + 1  # nothing but the step of the kill is taken twice
    for name, tensors in undisturbed.items():
        for key, value in tensors.items():
            assert torch.equal(value, resumed[name][key]), (name, key)
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    assert left == {INVERTER, "journal.jsonl"}


def test_without_a_corrector_the_zero_step_model_is_the_same_and_alone(pool, tmp_path):
    both = train(pool, tmp_path / "both")
    alone = train(pool, tmp_path / "alone", replace(PLAN, corrector_recipe=None))
    assert both[ZERO].keys() == alone[ZERO].keys()
    assert all(torch.equal(value, alone[ZERO][key]) for key, value in both[ZERO].items())
    journal, other = Journal(tmp_path / "alone"), Journal(tmp_path / "both")
    assert set(journal.phases()) == {"inverter", "fidelity"}
    assert set(other.phases()) == {"inverter", "hypotheses", "corrector", "fidelity"}
    assert list(journal.curves()["inversion_cosine"]) == [0]
    before = "inversion_cosine_before"
    assert journal.findings()[before] == other.findings()[before]
    assert "inversion_cosine_after" not in journal.findings()


def test_the_inverter_learns_to_write_what_it_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(steps_module, "LOG_EVERY", 10)
    pool = toy_pool(2, per_class=6)
    recipe = Recipe(steps=40, learning_rate=1e-2, warmup=0.1, batch_size=12, precision="float32")
    plan = replace(PLAN, max_length=16, recipe=recipe, corrector_recipe=recipe)
    train(pool, tmp_path / "state", plan)
    journal = Journal(tmp_path / "state")
    for curve in ("inverter_loss", "corrector_loss"):
        points = list(journal.curves()[curve].values())
        assert points[-1] < 0.7 * points[0]
    assert set(journal.phases()) == {"inverter", "hypotheses", "corrector", "fidelity"}


def test_the_corrector_learns_from_what_was_written_for_each_row(pool, tmp_path, monkeypatch):
    """Rows that the zero-step model wrote without a fault (here every third) are left out."""
    wrong: dict[bytes, list[list[int]]] = defaultdict(list)
    hypotheses = training._hypotheses

    def some_right(inversion, rows, *rest):
        ids, features = hypotheses(inversion, rows, *rest)
        for i, target in enumerate(rows.features):
            if i % 3:
                wrong[target.tobytes()].append(ids[i].tolist())
            else:
                ids[i] = rows.ids[i]
        return ids, features

    monkeypatch.setattr(training, "_hypotheses", some_right)
    monkeypatch.setattr(training, "note_fidelity", lambda *given: None)
    shown = record_inputs(monkeypatch)
    train(pool, tmp_path / "state")
    made = load(tmp_path / "state" / INVERTER)
    embed = training.embedder(pool, "minilm")
    assert len(shown) == PLAN.corrector_recipe.steps
    for batch in shown:
        for target, ids in zip(batch.targets, batch.ids, strict=True):
            assert ids.tolist() in wrong[target.tobytes()]
        texts = [made.writer.decode(ids) for ids in batch.ids]
        np.testing.assert_allclose(batch.features, embed(texts), atol=1e-6)


def test_a_trained_corrector_comes_nearer_to_its_targets(tmp_path):
    pool = toy_pool(2, per_class=6)
    few = Recipe(steps=8, learning_rate=1e-2, warmup=0.1, batch_size=12, precision="float32")
    plan = replace(PLAN, max_length=16, recipe=few, corrector_recipe=replace(few, steps=120))
    train(pool, tmp_path / "state", plan)
    made = load(tmp_path / "state" / INVERTER)
    inversion = training.Inversion(made, training.embedder(pool, "minilm"))
    rows = training._rows(pool, made, "minilm", None)
    cosines = [np.mean([h.cosine for h in found]) for found in inversion.steps(rows.features, 1)]
    assert cosines[1] > cosines[0] + 0.1


def test_what_is_noted_of_held_out_rows(pool, tmp_path):
    train(pool, tmp_path / "state")
    journal = Journal(tmp_path / "state")
    found, curves = journal.findings(), journal.curves()
    for name in ("bleu", "token_f1", "exact", "cosine"):
        curve = curves[f"inversion_{name}"]
        assert list(curve) == [0, 1]
        ends = [found[f"inversion_{name}_{end}"] for end in ("before", "after", "change")]
        assert ends == [curve[0], curve[1], curve[1] - curve[0]]
    assert -1 <= found["inversion_cosine_of_other_rows"] <= 1


def test_rows_that_are_cut_are_embedded_as_they_are_shown(tmp_path):
    pool = toy_pool(2, per_class=6)
    made = training.new_inverter("tiny", pool, pool.embed("minilm"), 8, seed=0)
    rows = training._rows(pool, made, "minilm", None)
    whole = pool.texts()["text"]
    cut = [text != shown for text, (shown,) in zip(whole, rows.texts, strict=True)]
    assert any(cut)
    for place, (shown,) in enumerate(rows.texts):
        assert whole[place].startswith(shown)
        assert len(rows.ids[place]) <= 8
        again = pool.services.encode("minilm", {"text": [shown]})[0]
        np.testing.assert_allclose(rows.features[place], again, atol=1e-6)


def test_held_out_rows_are_not_trained_on(pool, tmp_path, monkeypatch):
    seen = []
    original = training._rows
    monkeypatch.setattr(
        training, "_rows", lambda p, *rest: seen.append(set(p.indices)) or original(p, *rest)
    )
    train(pool, tmp_path / "state")
    trained_on, held_out = seen
    assert not trained_on & held_out
    assert trained_on | held_out == set(range(24))
    train(pool, tmp_path / "fewer", replace(PLAN, rows=10))
    fewer, held_out = seen[2:]
    assert len(fewer) == 10
    assert len(held_out) == 2
    assert not fewer & held_out


def test_from_a_pretrained_t5(pool, tiny_t5, tmp_path):
    pool.services = replace(pool.services, model=lambda name: tiny_t5)
    start = training.new_inverter("t5-base", pool, pool.embed("minilm"), 16, seed=0)
    from safetensors.torch import load_file

    saved = load_file(tiny_t5 / "model.safetensors")
    for model in (start.zero, start.corrector):
        torch.testing.assert_close(model.t5.shared.weight, saved["shared.weight"])
    train(pool, tmp_path / "state", replace(PLAN, inverter="t5-base"))
    made = load(tmp_path / "state" / INVERTER)
    assert made.zero.t5.config.d_model == 16
    assert made.writer.tokenizer.convert_ids_to_tokens(made.writer.separator) == "<extra_id_0>"


def test_a_corrector_without_a_pretrained_t5_starts_from_the_zero_step_model(
    pool, tiny_t5, tmp_path
):
    started = []
    plan = replace(PLAN, corrector_recipe=replace(RECIPE, steps=1))  # the first rate is 0
    for name in ("tiny", "t5-base"):
        pool.services = replace(pool.services, model=lambda name: tiny_t5)
        found = train(pool, tmp_path / name, replace(plan, inverter=name))
        zero, corrector = found[ZERO], found[CORRECTOR]
        pairs = (("t5.shared", "t5.shared"), ("project.inner", "of_target.inner"))
        started.append(
            [
                torch.equal(zero[f"weight/{a}.weight"], corrector[f"weight/{b}.weight"])
                for a, b in pairs
            ]
        )
    assert started == [[True, True], [False, False]]
