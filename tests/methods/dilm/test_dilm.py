"""The whole method on toy pools: parts shared, kills survived, switches that do something."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.core.journal import Journal
from benchmark.core.method import METHODS, Budget
from benchmark.core.seeding import numpy_generator
from benchmark.core.states import preparation_facts, prepare_state
from benchmark.testing import parametrize_with_method_checks, toy_pool
from methods.gradient_matching.synthetic import SyntheticRows
from methods.gradient_matching.teacher import representative_sets
from methods.language_models import training

TOY = METHODS.cls("dilm").toy


@parametrize_with_method_checks(["dilm", "vanilla-lm"])
def test_conformance(method, check):
    check(method)


def build(name="dilm", **params):
    return METHODS.build(name, {**TOY, **params} if name == "dilm" else params)


def prepared(method, pool, root):
    root.mkdir(exist_ok=True)
    return prepare_state(method, pool, root / f"state-{abs(hash(repr(method)))}", seed=3)


def a_set(method, pool, state):
    return method.distil(pool, Budget.dpc(2, len(pool.classes)), numpy_generator(1), state)


def parts(root):
    return sorted(path.name for path in root.glob("part-*"))


def test_variants_share_what_they_learn_alike(pool, tmp_path):
    vanilla = build("vanilla-lm", **METHODS.cls("vanilla-lm").toy)
    first = prepared(vanilla, pool, tmp_path)
    assert len(parts(tmp_path)) == 1
    prepared(build(), pool, tmp_path)
    assert len(parts(tmp_path)) == 3  # the learners and the matched generator came to it
    prepared(build(teacher="random"), pool, tmp_path)
    assert len(parts(tmp_path)) == 4  # another matched generator only
    prepared(build(selection="none"), pool, tmp_path)
    assert len(parts(tmp_path)) == 4  # selection comes after all training
    a_set(vanilla, pool, first)


def test_a_state_is_whole_without_the_parts(pool, tmp_path):
    import shutil

    method = build()
    state = prepared(method, pool, tmp_path)
    before = a_set(method, pool, state).content_hash
    for part in tmp_path.glob("part-*"):
        shutil.rmtree(part)
    from methods.language_models.generator import held

    held.cache_clear()
    assert a_set(method, pool, state).content_hash == before


def test_the_journal_tells_phases_curves_and_the_held_out_cosine(pool, tmp_path):
    state = prepared(build(held_out=2), pool, tmp_path)
    journal = Journal(state)
    assert set(journal.phases()) == {"language_model", "learners", "teacher", "matching"}
    facts = preparation_facts(state)
    assert facts["prepare_seconds"] == pytest.approx(sum(journal.phases().values()))
    assert facts["phase_learners"] == journal.phases()["learners"]
    assert set(journal.curves()) == {"language_model_loss", "matching_loss"}
    found = journal.findings()
    assert facts["found_held_out_cosine_after"] == found["held_out_cosine_after"]
    change = found["held_out_cosine_after"] - found["held_out_cosine_before"]
    assert found["held_out_cosine_change"] == pytest.approx(change, abs=1e-9)
    assert 0 <= facts["found_label_agreement"] <= 1
    assert facts["found_label_agreement_of_real_rows"] > 0.5
    low, high = found["held_out_cosine_change_low"], found["held_out_cosine_change_high"]
    assert low <= found["held_out_cosine_change"] <= high


class Killed(Exception):
    """Stands for a kill."""


def test_matching_that_was_killed_ends_as_undisturbed(pool, tmp_path, monkeypatch):
    method = build(steps=7, interval=4, learning_rate=1e-2)
    whole = a_set(method, pool, prepared(method, pool, tmp_path / "whole"))
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    update, killed = training.Trainer.update, []

    def once(self, step, backward):
        if self.phase.name == "matching" and step == 6 and not killed:
            killed.append(step)
            raise Killed
        return update(self, step, backward)

    monkeypatch.setattr(training.Trainer, "update", once)
    with pytest.raises(Killed):
        prepared(method, pool, tmp_path / "killed")
    resumed = a_set(method, pool, prepared(method, pool, tmp_path / "killed"))
    assert killed
    assert resumed.content_hash == whole.content_hash


@pytest.mark.parametrize(
    "switch",
    [{"teacher": "random"}, {"diverse": False}, {"weights": "paper"}, {"weights": "token-mean"}],
)
def test_switches_change_the_generator(pool, tmp_path, switch):
    common = {"learning_rate": 1e-2, "real_batch": 3}
    plain, other = build(**common), build(**common, **switch)
    sets = [a_set(m, pool, prepared(m, pool, tmp_path)).content_hash for m in (plain, other)]
    assert sets[0] != sets[1]


def test_mini_batches_hold_one_row_of_each_cluster():
    clusters = np.array([0, 0, 1, 1, 1, 3])  # cluster 2 is empty
    rows = SyntheticRows(0, [[("x",)] * 6], [clusters])
    for seed in range(20):
        batch = rows.batch(0, 4, numpy_generator(seed))
        assert len(set(batch.tolist())) == 4
        assert {0, 1, 3} <= set(clusters[batch].tolist())


def test_representative_sets_cover_each_class(pairs):
    sets = representative_sets(pairs, "minilm", 3, numpy_generator(0))
    assert len(sets) == 10
    for chosen in sets:
        for label, rows in enumerate(chosen):
            assert len(set(rows.tolist())) == 3
            assert (pairs.labels[rows] == label).all()


def test_a_class_of_three_rows_is_enough(tmp_path):
    whole = toy_pool(2, per_class=8)
    small = whole.subset(np.r_[0:8, 8:11])
    method = build(real_batch=5)
    made = a_set(method, small, prepared(method, small, tmp_path))
    assert np.bincount(made.hard_labels).tolist() == [2, 2]


def test_a_class_of_one_row_is_an_error(tmp_path):
    whole = toy_pool(2, per_class=8)
    single = whole.subset(np.r_[0:8, 8:9])
    with pytest.raises(BenchmarkError, match="has 1 rows; matching a gradient needs 2"):
        prepared(build(), single, tmp_path)


def test_bad_parameters_are_found_at_once():
    from benchmark.core.errors import InputError

    for params, words in (
        ({"steps": 0}, "steps is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"weights": "mine"}, "is none of"),
        ({"oversample": 0}, "oversample is 0"),
        ({"learning_rate": -1}, "learning_rate is -1"),
    ):
        with pytest.raises(InputError, match=words):
            METHODS.build("dilm", params)


def test_presets_differ_from_the_paper_only_where_they_say():
    paper, cpu = METHODS.build("dilm").params(), METHODS.build("dilm-cpu").params()
    changed = {name for name in paper if paper[name] != cpu[name]}
    assert changed == {
        "generator", "lm_steps", "lm_learning_rate", "lm_stop", "learner", "steps",
        "learning_rate", "interval", "trajectories",
    }  # fmt: skip
    assert METHODS.build("dilm-no-teacher").params() == {**paper, "teacher": "random"}
    vanilla = METHODS.build("vanilla-lm").params()
    assert all(paper[name] == value for name, value in vanilla.items())


def test_a_generator_that_read_other_text_is_tagged():
    assert METHODS.build("dilm").uses_external_lm
    assert not METHODS.build("dilm-cpu").uses_external_lm
    assert METHODS.build("dilm").models == ("gpt2", "bert-base")
    assert METHODS.build("vanilla-lm-cpu").models == ()
