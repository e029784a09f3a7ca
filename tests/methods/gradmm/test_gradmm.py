"""The whole method on toy pools."""

from __future__ import annotations

import pytest

from benchmark.core.errors import BenchmarkError, InputError
from benchmark.core.journal import Journal
from benchmark.core.method import METHODS, Budget
from benchmark.core.outline import Outline
from benchmark.core.seeding import numpy_generator
from benchmark.core.states import prepare_state
from benchmark.testing import parametrize_with_method_checks, toy_pool
from methods import gradmm
from methods.readable.candidates import Candidate, save

TOY = METHODS.cls("gradmm").toy
PROMPT = {"head": "prompt", "learner": "phi-1.5", "writer": "", "filter": "prompt",
          "writer_steps": 1_000}  # fmt: skip


@parametrize_with_method_checks(["gradmm"])
def test_conformance(method, check):
    check(method)


def build(**params):
    return METHODS.build("gradmm", {**TOY, **params})


def a_set(method, pool, root):
    state = prepare_state(method, pool, root / "state", seed=3)
    return method.distil(pool, Budget.dpc(2, len(pool.classes)), numpy_generator(1), state)


def test_a_prompted_language_model_writes_for_any_number_of_classes(tmp_path):
    for n_classes, pair in ((2, False), (7, True)):
        pool = toy_pool(n_classes, per_class=5, pair=pair)
        made = a_set(build(**PROMPT), pool, tmp_path / str(n_classes))
        assert len(made) == 2 * n_classes
        assert tuple(made.columns) == pool.text_columns


def test_switches_change_the_rows(pool, tmp_path):
    switches = [{}, {"order": "likely-first"}, {"vocabulary": "labels"}, {"prefix": "It {label}"}]
    hashes = [
        a_set(build(**PROMPT, **switch), pool, tmp_path / str(i)).content_hash
        for i, switch in enumerate(switches)
    ]
    assert len(set(hashes)) == len(hashes)


def test_writing_that_was_killed_goes_on(pool, tmp_path, monkeypatch):
    from methods.readable import writing

    method = build(**PROMPT, rows_at_once=2)
    whole = a_set(method, pool, tmp_path / "whole").content_hash
    write, calls = writing.write_rows, []

    def third_dies(*args):
        calls.append(args[3])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write(*args)

    monkeypatch.setattr(writing, "write_rows", third_dies)
    with pytest.raises(KeyboardInterrupt):
        a_set(method, pool, tmp_path / "killed")
    assert a_set(method, pool, tmp_path / "killed").content_hash == whole
    assert len(calls) == 3 + 4, "two of the six batches were there"
    found = Journal(tmp_path / "killed" / "state").findings()
    assert -1 <= found["gradient_cosine"] <= 1


def test_texts_begin_with_what_may_begin_them(tmp_path, monkeypatch):
    from methods.readable import opening

    monkeypatch.setattr(opening, "may_begin", lambda tokenizer, ids: ids[:1])
    made = a_set(build(), toy_pool(2, per_class=10, pair=True), tmp_path)
    for texts in made.columns.values():
        assert len({text.split()[0] for text in texts}) == 1
        assert len({text.split()[1] for text in texts}) > 1


def test_the_small_writer_reads_no_row_that_is_ranked_on(pool, tmp_path, monkeypatch):
    from methods.readable import tiny_writer, writing

    read, ranked = [], []
    train, judge = tiny_writer.train_language_model, writing.Writing._judged

    def trained(pool, *args):
        read.extend(pool.indices.tolist())
        return train(pool, *args)

    def judged(self, *args):
        ranked.extend(self.ranked.indices.tolist())
        return judge(self, *args)

    monkeypatch.setattr(tiny_writer, "train_language_model", trained)
    monkeypatch.setattr(writing.Writing, "_judged", judged)
    tiny = {"writer": "tiny", "writer_steps": 4}
    prepare_state(build(**PROMPT | tiny), pool, tmp_path / "state", seed=3)
    assert set(read) | set(ranked) == set(pool.indices.tolist())
    assert not set(read) & set(ranked)


def test_rows_are_ranked_on_others_than_they_were_written_from(pool, tmp_path, monkeypatch):
    seen = {"match": set(), "rank": set()}
    gradient = gradmm.GradMM.gradient

    def spied(self, learner, rows, label, rng, use):
        seen[use].update(rows.indices.tolist())
        return gradient(self, learner, rows, label, rng, use)

    monkeypatch.setattr(gradmm.GradMM, "gradient", spied)
    prepare_state(build(**PROMPT), pool, tmp_path / "state", seed=3)
    assert seen["match"] | seen["rank"] == set(pool.indices.tolist())
    assert not seen["match"] & seen["rank"]
    assert seen["match"]
    assert seen["rank"]


def test_as_many_rows_as_candidates_are_refused_before_any_work():
    outline = Outline((10, 10))
    for name in ("gradmm", "gradmm-dp"):
        method = METHODS.build(name, {"candidates": 6})
        assert method.refuses(outline, Budget((5, 2))) == ""
        why = method.refuses(outline, Budget((2, 6)))
        assert why.startswith("6 rows of a class are asked for, and 6 candidates")
        assert f"--set {name}.candidates=12" in why


def test_the_share_of_rows_that_are_of_another_class_stands_beside_a_set(pool, tmp_path):
    of_class = [Candidate((f"row {i}",), 0.1 * i, agrees=i < 3) for i in range(6)]
    save(tmp_path, [of_class, of_class])
    for wanted, share in ((3, 0.0), (4, 0.25), (6, 0.5)):
        budget, rng = Budget.dpc(wanted, 2), numpy_generator(1)
        made = build(share=1.0, balance=False).distil(pool, budget, rng, tmp_path)
        assert made.notes["disagreeing"] == share
        unfiltered = build(share=1.0, filter="none").distil(pool, budget, rng, tmp_path)
        assert "disagreeing" not in unfiltered.notes


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"prompt": " So"}, "prompt = ' So' would change nothing: head=classifier"),
        ({"words": ["bando", "some"]}, "words = .* asks for no label word"),
        ({"vocabulary": "labels"}, "vocabulary = 'labels' would change nothing"),
        ({"prefix": "It"}, "a tiny writer reads the token of the class"),
        ({"filter": "none", "encoder": "mpnet"}, "only filter=features reads features"),
        ({**PROMPT, "writer_steps": 7}, "only writer=tiny is trained"),
    ],
)
def test_a_parameter_that_would_change_nothing_is_refused(params, words):
    with pytest.raises(InputError, match=words):
        build(**params)


def test_words_and_lengths_are_checked_before_anything_is_trained(pool, tmp_path, monkeypatch):
    from methods.readable import tiny_writer

    words = {"words": ["bando", "some", "very"]}
    why = build(**PROMPT, **words).refuses(Outline((9, 9)), Budget.dpc(2, 2))
    assert why == "words: 3 label words for 2 classes: bando, some, very"
    with pytest.raises(InputError, match="length is 481; a text has at most 480 tokens"):
        build(length=481)
    monkeypatch.setattr(tiny_writer, "train_language_model", None)  # whoever calls it fails
    tiny = {**PROMPT, "writer": "tiny", "writer_steps": 4}
    for params, said in (
        ({"words": ["zz", "some"]}, "no tokens for the label word 'zz'"),
        ({"length": 480}, "length is 480, so that a row has 48. tokens with what stands around"),
    ):
        with pytest.raises(InputError, match=said):
            prepare_state(build(**{**tiny, **params}), pool, tmp_path / "state", seed=3)


def test_a_small_writer_reads_no_more_than_it_can(pool, tmp_path, monkeypatch):
    from methods.readable import tiny_writer

    asked = []
    train = tiny_writer.train_language_model
    monkeypatch.setattr(
        tiny_writer,
        "train_language_model",
        lambda pool, plan, *rest: asked.append(plan.max_length) or train(pool, plan, *rest),
    )
    monkeypatch.setattr(gradmm, "TINY_CONTEXT", 60)
    prepare_state(build(length=20), pool, tmp_path / "state", seed=3)
    assert asked == [60]


def test_what_a_reader_must_mend_is_said(pool, tmp_path):
    with pytest.raises(InputError, match="no tokens for the label word 'great'"):
        a_set(build(**PROMPT, words=["bando", "great"]), pool, tmp_path / "a")
    method = build(**PROMPT)
    state = prepare_state(method, pool, tmp_path / "b", seed=3)
    with pytest.raises(BenchmarkError, match="6 candidates of class 'class b' were written"):
        method.distil(pool, Budget.dpc(7, 2), numpy_generator(1), state)
    with pytest.raises(InputError, match="needs writer=tiny"):
        build(writer="")
    with pytest.raises(BenchmarkError, match="takes two of each class"):
        a_set(build(**PROMPT), toy_pool(2, per_class=1), tmp_path / "c")


def test_presets_are_the_methods_own(pool):
    assert gradmm.GradMM(**gradmm.CPU).uses_external_lm is False
    assert gradmm.GradMM().uses_external_lm is True
    assert gradmm.GradMM().models == ("phi-1.5",)
    assert "one writing" in gradmm.GradMM.note
