"""What is kept of an answer, what it cost, and where it was cut short."""

from __future__ import annotations

import math
import shutil

import pytest
import torch

from benchmark.core.method import METHODS, Budget
from benchmark.core.seeding import numpy_generator
from benchmark.testing import toy_pool
from methods.rewriting.prompts import PART, read_answer
from methods.rewriting.writers import FILE, Answer, EndpointWriter, KeptAnswers, LocalWriter

TOY = METHODS.cls("condense-lm").toy


def reply(text, **more):
    return {"choices": [{"message": {"content": text}, **more}], "usage": {"total_tokens": 9}}


def asked(server, content):
    server.plan = [lambda body: content]
    (answer,) = EndpointWriter("toy", 1.0, lambda who, tokens: None).answer("x", [1], 40, False)
    return answer


def test_a_line_that_the_limit_of_an_endpoint_cut_is_no_row(server):
    text = "1. one text\n2. another one\n3. a text that sto"
    cut = asked(server, reply(text, finish_reason="length"))
    assert [row[0] for row in read_answer(cut.whole_lines, 1)[0]] == ["one text", "another one"]
    for reason in ({"finish_reason": "stop"}, {"finish_reason": None}, {}):
        whole = asked(server, reply(text, **reason))
        assert len(read_answer(whole.whole_lines, 1)[0]) == 3
    assert Answer("1. a text that sto", 1, whole=False).whole_lines == ""
    assert Answer("1. one text\n", 1, whole=False).whole_lines == "1. one text"


def test_rows_are_made_of_whole_lines_alone(server, pool, tmp_path):
    """The last line has the largest reward, and is not whole."""
    text = "1. bando belim of the\n2. bando bisor of the\n3. bando belim bisor bovat"
    server.plan = [lambda body: reply(text, finish_reason="length")] * 3
    params = {"writer": "endpoint:toy", "agreeing": True, "answers": 3}
    method = METHODS.build("condense-lm", {**TOY, **params})
    made = method.distil(pool.with_parts(tmp_path), Budget.dpc(2, 2), numpy_generator(1))
    assert set(made.columns["text"][:2]) == {"bando belim of the", "bando bisor of the"}


@pytest.mark.parametrize("usage", [{}, {"usage": None}, {"usage": {"total_tokens": None}}])
def test_tokens_that_a_server_does_not_tell_are_unknown(server, pool, tmp_path, usage):
    untold = {**reply("1. one"), "usage": None} | usage
    assert math.isnan(asked(server, untold).tokens)
    assert asked(server, reply("1. one")).tokens == 9
    for tokens, told in ((4, True), (math.nan, False)):
        kept = KeptAnswers(Fixed(Answer("1. one", tokens)), tmp_path)
        kept.answers("a", [1], 9)
        kept.answers(f"b {tokens}", [1], 9)
        again = KeptAnswers(None, tmp_path)
        again.answers(f"b {tokens}", [1], 9)
        assert math.isfinite(kept.tokens) == math.isfinite(again.tokens) == told


class Fixed:
    """The same answer again and again, counted."""

    def __init__(self, answer):
        self.given, self.count = answer, 0

    def answer(self, prompt, seeds, most, parted):
        self.count += 1
        return [self.given]


def test_an_answer_after_a_line_that_a_kill_cut_short_is_kept(tmp_path):
    first = KeptAnswers(Fixed(Answer("1. one", 3)), tmp_path)
    first.answers("a", [1], 9)
    first.answers("b", [1], 9)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:-20])
    second = KeptAnswers(Fixed(Answer("1. two", 3)), tmp_path)
    second.answers("b", [1], 9)
    third = Fixed(Answer("1. three", 3))
    for prompt, text in (("a", "1. one"), ("b", "1. two")):
        assert KeptAnswers(third, tmp_path).answers(prompt, [1], 9)[0].text == text
    assert third.count == 0


@pytest.fixture
def local(pool):
    return LocalWriter(pool.services.model("smollm2-135m"), "smollm2-135m", 1.0)


def scripted(local, monkeypatch, *answers):
    """The writer's model says these things; returns what it was given to read each time."""
    left, read = list(answers), []

    def generate(ids, seeds, most):
        read.append(list(ids))
        return [left.pop(0) for _ in seeds]

    monkeypatch.setattr(local, "_generate", generate)
    return read


def test_a_local_answer_is_whole_where_it_came_to_its_end(local, monkeypatch):
    """By the tokenizer's end, or another one that the model's own settings name."""
    ids, (end, other), of = local._ids("the"), (local.tokenizer.eos_token_id, 9), 5
    monkeypatch.setattr(local.model.generation_config, "eos_token_id", [other, end])
    made = [[of, end, end, end], [of] * 4, [of, of, of, end], [of, of, of, other], [of, other] * 2]

    def generate(**given):
        assert given["eos_token_id"] == [end, other]
        return torch.tensor([[*ids, *row] for row in made])

    monkeypatch.setattr(local.model, "generate", generate)
    found = local._generate(ids, range(5), 4)
    assert [answer.whole for answer in found] == [True, False, True, True, True]
    assert [answer.tokens for answer in found] == [1, 4, 3, 3, 1]
    assert found[0].text == found[4].text == local.tokenizer.decode([of])


def test_a_model_without_a_chat_form_has_begun_a_list(local, monkeypatch, tmp_path):
    """It reads "1." and goes on with the first row, which a list without its number would lose."""
    text = " bando the of\n2. belim of the"
    read = scripted(local, monkeypatch, Answer(text, 7), Answer(text, 7))
    (answer,) = local.answer("the", [1], 20, False)
    assert read_answer(answer.text, 1)[0] == [("bando the of",), ("belim of the",)]
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    folder = shutil.copytree(local.tokenizer.name_or_path, tmp_path / "chat")
    local.tokenizer.chat_template = template
    local.tokenizer.save_pretrained(folder)
    talking = LocalWriter(folder, "x", 1.0)
    read += scripted(talking, monkeypatch, Answer("1." + text, 7))
    (answer,) = talking.answer("the", [1], 20, False)
    assert answer.text == "1." + text


def test_what_is_read_again_for_the_second_text_of_a_pair_is_counted(local, monkeypatch):
    first, second = Answer(" bando the\n2. of", 5, whole=False), Answer(" of the of", 4)
    read = scripted(local, monkeypatch, first, second)
    (answer,) = local.answer("the of and", [1], 20, True)
    assert answer.tokens == len(read[0]) + 5 + len(read[1]) + 4
    assert len(read[1]) == len(read[0]) + 3, "bando, the, and the mark"
    assert read_answer(answer.text, 2)[0] == [("bando the", "of the of")]
    assert answer.whole


def test_a_first_text_that_was_cut_is_no_beginning_of_a_pair(local, monkeypatch):
    cut = Answer(" bando the of", 5, whole=False)
    read = scripted(local, monkeypatch, cut)
    (answer,) = local.answer("the of and", [1], 20, True)
    assert len(read) == 1, "there is nothing to go on from"
    assert read_answer(answer.whole_lines, 2) == ([], 0)
    parted = Answer(f" bando the {PART} of", 5, whole=False)
    scripted(local, monkeypatch, cut, parted)
    assert [one.whole for one in local.answer("the", [1, 2], 20, True)] == [False, False]


def test_a_toy_pair_is_written_by_a_local_model(tmp_path):
    pairs = toy_pool(2, per_class=6, pair=True)
    made = METHODS.build("condense-lm", TOY).distil(pairs, Budget.dpc(2, 2), numpy_generator(1))
    assert all(text.strip() for texts in made.columns.values() for text in texts)
