"""The adapter: parts are shared, states are whole, and mistakes are named."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from benchmark.core.distilled import DistilledSet
from benchmark.core.errors import BenchmarkError, InputError
from benchmark.core.journal import Journal
from benchmark.core.method import METHODS, Budget
from benchmark.core.outline import Outline
from benchmark.core.seeding import numpy_generator
from benchmark.core.states import preparation_facts, prepare_state
from benchmark.testing import parametrize_with_method_checks
from methods.inversion import inverter
from methods.inversion.correction import Inversion

TOY = METHODS.cls("dallme").toy


@parametrize_with_method_checks(["dallme"])
def test_conformance(method, check):
    check(method)


def build(**params):
    return METHODS.build("dallme", {**TOY, **params})


def prepared(method, pool, root):
    root.mkdir(exist_ok=True)
    return prepare_state(method, pool, root / f"state-{abs(hash(repr(method)))}", seed=3)


def a_set(method, pool, state, dpc=2):
    budget = Budget.dpc(dpc, len(pool.classes))
    return method.distil(pool, budget, numpy_generator(1), state)


def test_variants_share_the_inverter(pool, tmp_path):
    first = prepared(build(), pool, tmp_path)
    parts = lambda: sorted(path.name for path in tmp_path.glob("part-*"))  # noqa: E731
    assert len(parts()) == 1
    prepared(build(clustering="gmm", renormalise=False, corrections=0, beam=2), pool, tmp_path)
    assert len(parts()) == 1  # what comes after training is the variant's own
    prepared(build(steps=9), pool, tmp_path)
    assert len(parts()) == 2
    before = a_set(build(), pool, first).content_hash
    for part in tmp_path.glob("part-*"):
        shutil.rmtree(part)
    inverter.held.cache_clear()
    assert a_set(build(), pool, first).content_hash == before


def test_the_journal_tells_phases_and_fidelity(pool, tmp_path):
    state = prepared(build(), pool, tmp_path)
    facts = preparation_facts(state)
    assert set(Journal(state).phases()) == {
        "inverter", "hypotheses", "corrector", "fidelity", "centroids",
    }  # fmt: skip
    assert facts["found_centroid_cosine"] == Journal(state).findings()["centroid_cosine"]
    assert 0.5 < facts["found_centroid_cosine_of_nearest_rows"] <= 1
    assert "found_inversion_bleu_before" in facts


def test_all_centroids_are_inverted_at_once_class_after_class(pool, tmp_path, monkeypatch):
    method, asked = build(corrections=0), []
    state = prepared(method, pool, tmp_path)
    invert = Inversion.invert
    monkeypatch.setattr(
        Inversion,
        "invert",
        lambda self, targets, count: asked.append(targets) or invert(self, targets, count),
    )
    made = method.distil(pool, Budget((3, 1)), numpy_generator(1), state)
    assert made.labels.tolist() == [0, 0, 0, 1]
    (targets,) = asked
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), 1, atol=1e-5)
    mean = pool.of_class(1).embed("minilm").mean(axis=0)
    np.testing.assert_allclose(targets[3], mean / np.linalg.norm(mean), atol=1e-5)


def test_the_control_takes_the_same_centroids(pool, tmp_path, monkeypatch):
    """Set for set: same seeds, same clusters; the control's rows are those next to the targets."""
    dallme, control = build(corrections=0), METHODS.build("dallme-nearest")
    assert dallme.seeded_as == control.name
    state, asked = prepared(dallme, pool, tmp_path), []
    invert = Inversion.invert
    monkeypatch.setattr(
        Inversion,
        "invert",
        lambda self, targets, count: asked.append(targets) or invert(self, targets, count),
    )
    made = a_set(dallme, pool, state)
    near = control.distil(pool, Budget.dpc(2, len(pool.classes)), numpy_generator(1))
    features, (targets,) = np.asarray(pool.embed("minilm")), asked
    rows = list(zip(*pool.texts().values(), strict=True))
    for label in range(len(pool.classes)):
        of_class = np.flatnonzero(pool.labels == label)
        mine = targets[made.labels == label]
        nearest = of_class[np.argmax(mine @ features[of_class].T, axis=1)]
        picked = zip(*(near.columns[name] for name in pool.text_columns), strict=True)
        chosen = [row for row, at in zip(picked, near.labels, strict=True) if at == label]
        assert {rows[i] for i in nearest} <= set(chosen)


def test_a_set_says_how_near_its_texts_are_to_their_centroids(pool, tmp_path):
    made = a_set(method := build(), pool, prepared(method, pool, tmp_path))
    made.save(tmp_path / "set")
    cosines = DistilledSet.load(tmp_path / "set").row_notes["centroid_cosine"]
    assert len(cosines) == len(made)
    assert made.notes["centroid_cosine"] == pytest.approx(np.mean(cosines))
    assert made.notes["centroid_cosine_least"] == min(cosines) >= -1
    assert max(cosines) <= 1 + 1e-6


def test_an_encoder_of_another_dimension_is_named(pool, tmp_path):
    state = prepared(build(), pool, tmp_path)
    embed = pool._embed
    pool._embed = lambda name: np.hstack([embed(name), embed(name)])
    with pytest.raises(BenchmarkError, match=r"gives 32 numbers a text.*trained for 16"):
        a_set(build(), pool, state)


def test_what_cannot_be_done_is_said(pool, pairs, tmp_path):
    state = prepared(build(), pool, tmp_path)
    with pytest.raises(BenchmarkError, match=r"class 'class b'.*12 examples are fewer than 13"):
        a_set(build(), pool, state, dpc=13)
    with pytest.raises(BenchmarkError, match="no example at all"):
        a_set(build(), pool, state, dpc=0)
    with pytest.raises(BenchmarkError, match="max_length is 15 tokens"):  # for two texts
        prepared(build(max_length=15), pairs, tmp_path)
    for params, words in (
        ({"beam": 0}, "beam is 0"),
        ({"corrections": -1}, "corrections is -1"),
        ({"corrections": 2, "corrector_steps": 0}, "there is no corrector"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"clustering": "mine"}, "is none of"),
    ):
        with pytest.raises(InputError, match=words):
            METHODS.build("dallme", params)


def test_presets():
    paper, cpu = METHODS.build("dallme"), METHODS.build("dallme-cpu")
    assert paper.models == ("t5-base",)
    assert paper.uses_external_lm
    assert cpu.models == ()
    assert not cpu.uses_external_lm
    changed = {name for name in paper.params() if paper.params()[name] != cpu.params()[name]}
    assert changed == {
        "inverter", "inverter_rows", "max_length", "steps", "corrector_steps", "batch_size",
    }  # fmt: skip
    gmm = METHODS.build("dallme-gmm").params()
    assert gmm == {**paper.params(), "clustering": "gmm"}


def test_what_cannot_be_is_refused_before_any_work(tiny_t5, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    outline = Outline((5, 5), models={"t5-base": tiny_t5, "minilm": tmp_path})
    budget = Budget.dpc(2, 2)
    assert build(inverter="t5-base").refuses(outline, budget) == ""
    assert build(inverter="tiny").refuses(outline, budget) == ""
    assert "'minilm' is no encoder-decoder" in build(inverter="minilm").refuses(outline, budget)
    with pytest.raises(InputError, match="max_length is 7; it must be 8 or more"):
        build(max_length=7)
