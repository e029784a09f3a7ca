"""Rewriting against a real server on this machine and a tiny local model."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.core import endpoint
from benchmark.core.errors import BenchmarkError, InputError, UnavailableError
from benchmark.core.method import METHODS, Budget
from benchmark.core.seeding import numpy_generator
from benchmark.core.services import Services
from benchmark.testing import parametrize_with_method_checks, toy_pool
from methods.condense_lm import ROWS, CondenseLM
from methods.rewriting.prompts import features_prompt, is_of_the_task, read_answer, write_prompt
from methods.rewriting.rewards import FrozenRewards
from methods.rewriting.writers import FILE

TOY = METHODS.cls("condense-lm").toy
REMOTE = {**TOY, "writer": "endpoint:toy", "agreeing": True, "rounds": 2, "answers": 3}


@parametrize_with_method_checks(["condense-lm"])
def test_conformance(method, check):
    check(method)


def kept(pool, folder):
    """The pool with a place where methods keep what is long in the making."""
    folder.mkdir(exist_ok=True)
    return pool.with_parts(folder)


def a_set(pool, dpc=2, **params):
    method = METHODS.build("condense-lm", {**REMOTE, **params})
    return method.distil(pool, Budget.dpc(dpc, len(pool.classes)), numpy_generator(1))


def test_an_endpoint_writes_rows_of_each_class_and_its_tokens_are_counted(server, pool, tmp_path):
    made = a_set(kept(pool, tmp_path / "parts"), dpc=4)
    for text, label in zip(made.columns["text"], made.labels, strict=True):
        assert text[0] == "bc"[label]
    assert len(set(made.columns["text"])) == 8
    assert made.notes["lm_tokens"] == 100 * len(server.requests)
    request = server.requests[0]
    assert request["path"] == "/v1/chat/completions"
    assert request["model"] == "toy"
    assert len({request["seed"] for request in server.requests}) == len(server.requests)


def test_a_set_that_is_there_is_not_asked_for_again(server, pool, tmp_path):
    there = kept(pool, tmp_path / "parts")
    first = a_set(there)
    asked = len(server.requests)
    assert a_set(there).content_hash == first.content_hash
    assert len(server.requests) == asked


def test_what_was_answered_before_a_failure_is_kept(server, pool, tmp_path):
    there = kept(pool, tmp_path / "parts")
    server.plan = [server.good, server.good, (401, {"error": "who are you"})]
    with pytest.raises(UnavailableError, match=r"answered 401.*2 answers are kept"):
        a_set(there)
    server.plan = []
    asked = len(server.requests)
    made = a_set(there)
    again = len(server.requests) - asked
    other = a_set(kept(pool, tmp_path / "other"))
    assert made.content_hash == other.content_hash
    assert len(server.requests) - asked - again == again + 2
    (answers,) = (tmp_path / "parts").glob(f"part-*/{FILE}")
    assert len(answers.read_text().splitlines()) == again + 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda body: " \n ", "nothing was answered"),
        (lambda body: "1. the one ||| and the other", "of another form"),
    ],
)
def test_nonsense_is_named_with_the_class(server, pool, tmp_path, answer, words):
    server.plan = [answer] * 50
    with pytest.raises(BenchmarkError, match=f"0 of 2 rows of class 'class b'.*{words}"):
        a_set(kept(pool, tmp_path / "parts"))


def test_rows_of_the_wrong_class_are_left_out(server, pool, tmp_path):
    wrong = lambda body: server.good(body, onset="c")  # noqa: E731
    server.plan = [wrong] * 50
    with pytest.raises(BenchmarkError, match=r"class 'class b' after 6 answers.*of another class"):
        a_set(kept(pool, tmp_path / "parts"))
    assert len(list((tmp_path / "parts").glob(f"*/{FILE}"))) == 1, "answers are kept"


def test_the_remedies_that_an_error_names_use_the_answers_there_are(server, pool, tmp_path):
    wrong = lambda body: server.good(body, onset="c")  # noqa: E731
    there = kept(pool, tmp_path / "parts")
    server.plan = [wrong] * 50
    with pytest.raises(BenchmarkError, match=r"more rounds or agreeing=false.* are kept"):
        a_set(there)
    first = len(server.requests)
    with pytest.raises(BenchmarkError, match="after 9 answers"):
        a_set(there, rounds=3)
    assert len(server.requests) == first + 3, "one more round of three answers"
    server.plan = []
    a_set(there, agreeing=False)
    asked = [(r["seed"], r["messages"][0]["content"]) for r in server.requests]
    assert len(set(asked)) == len(asked), "nothing is paid for twice"


@pytest.mark.parametrize(
    ("params", "gpus"),
    [
        ({"writer": "endpoint:toy", "rewards": "frozen"}, 0.0),
        ({"writer": "endpoint:toy", "rewards": "finetuned"}, 1.0),
        ({"writer": "smollm2-135m", "rewards": "frozen"}, 1.0),
    ],
)
def test_a_gpu_is_asked_for_only_where_a_model_runs_here(params, gpus):
    assert METHODS.build("condense-lm", params).needs.gpus == gpus


@pytest.mark.parametrize(
    "reply", [{"choices": []}, {"choices": [{"message": {"content": None}}]}, ["no", "chat"]]
)
def test_a_reply_that_is_no_chat_reply(server, pool, tmp_path, reply):
    server.plan = [lambda body: reply]
    with pytest.raises(UnavailableError, match="answered"):
        a_set(kept(pool, tmp_path / "parts"))


def test_an_answer_that_repeats_the_key_does_not_show_it(server, pool, tmp_path, monkeypatch):
    monkeypatch.setenv(endpoint.KEY, "sk-secret")
    content = {"choices": [{"message": {"content": ["Bearer sk-secret"]}}]}
    server.plan = [lambda body: content]
    with pytest.raises(UnavailableError, match="a message without text") as caught:
        a_set(kept(pool, tmp_path / "parts"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("usage", [{"total_tokens": None}, None, 7, {"total_tokens": 50}])
def test_every_answer_is_billed_once_and_one_without_a_count_is_kept(server, pool, tmp_path, usage):
    from dataclasses import replace

    bills = []
    there = kept(pool, tmp_path / "parts")
    there.services = replace(there.services, bill=lambda *bill: bills.append(bill))
    first = lambda body: {  # noqa: E731
        "choices": [{"message": {"content": server.good(body)}}], "usage": usage
    }  # fmt: skip
    server.plan = [first]
    made = a_set(there)
    assert {who for who, _ in bills} == {"toy"}
    count = 50 if isinstance(usage, dict) and usage["total_tokens"] else 0
    assert [tokens for _, tokens in bills] == [count, *[100] * (len(server.requests) - 1)]
    told = sum(tokens for _, tokens in bills) if count else np.nan
    assert made.notes["lm_tokens"] == pytest.approx(told, nan_ok=True)
    a_set(there)
    assert len(bills) == len(server.requests)


def test_the_best_answer_is_chosen(server, pool, tmp_path):
    """One answer is of words of the class alone, the others are diluted with common ones."""
    dull = lambda body: "1. the of bando the of the\n2. of bando the the of of"  # noqa: E731
    pure = lambda body: "1. bando belim bisor bovat\n2. belim bisor bando buxen"  # noqa: E731
    server.plan = [dull, pure, dull]
    made = a_set(kept(pool, tmp_path / "parts"))
    assert set(made.columns["text"][:2]) == {"bando belim bisor bovat", "belim bisor bando buxen"}


def test_later_rounds_retrieve_what_is_not_yet_told(server, tmp_path):
    """Rows that resemble what is condensed lose their coverage, and are shown less."""
    rng = np.random.default_rng(0)
    centres = np.array([[3.0, 3.0, 0, 0], [3.0, -3.0, 0, 0], [0.0, -3.0, 0, 0]])
    kind = np.repeat([0, 1, 2], [12, 12, 24])
    features = centres[kind] + rng.normal(size=(48, 4)) * 0.1
    from benchmark.core.pool import Pool
    from methods.rewriting.condensing import Condensing
    from methods.rewriting.writers import KeptAnswers

    texts = {"text": [f"kind {k} row {i}" for i, k in enumerate(kind)]}
    encode = lambda name, columns: centres[  # noqa: E731
        [int(text.split()[1]) for text in columns["text"]]
    ]
    pool = Pool("t", texts, (kind == 2).astype(int), ["yes", "no"],
                embed=lambda name: features, services=Services(encode=encode))  # fmt: skip
    method = METHODS.build(
        "condense-lm", {**TOY, "retrieved": 6, "least_representative": 0.5, "least_coverage": 0.2}
    )
    rewards = FrozenRewards(pool, "x", 0, rng)
    condensing = Condensing(
        pool, "x", rewards, KeptAnswers(None, tmp_path), method.plan(), "condense-lm", 1
    )
    first = condensing._retrieve(0, None, numpy_generator(1))
    condensing.rows = [[("kind 0 row 99",)], [("kind 2 row 98",)]]
    later = condensing._retrieve(0, condensing._known(1), numpy_generator(1))
    share = [np.mean(["kind 1" in row[0] for row in rows]) for rows in (first, later)]
    assert share[1] > share[0]
    assert share[1] == 1.0


def test_a_set_is_kept_under_all_that_it_depends_on(server, pool, tmp_path, monkeypatch):
    def sets():
        return len([p for p in (tmp_path / "parts").glob("part-*") if (p / ROWS).exists()])

    there = kept(pool, tmp_path / "parts")
    a_set(there)
    a_set(there)
    assert sets() == 1
    monkeypatch.setattr(there, "_embed", lambda encoder: pool.embed(encoder) + np.float32(1))
    a_set(there)
    assert sets() == 2, "features of another encoder by the same name"
    monkeypatch.setattr(CondenseLM, "version", 99)
    a_set(there)
    assert sets() == 3


def test_prompts_show_rows_and_ask_for_pairs():
    examples = {"yes": [("a b", "c")] * 2, "no": [("d", "e f")] * 3}
    asked = write_prompt("yes", examples, ["premise", "hypothesis"], 4, "long ones")
    for words in ('"yes"', "1. a b ||| c", "- (no) d ||| e f", "premise and hypothesis", "long"):
        assert words in asked
    assert asked.count("- (no)") == 2
    assert "1. d ||| e f" in features_prompt(examples)


def test_answers_are_read_in_the_forms_that_models_give_them():
    numbered = 'Sure! Here are 3:\n1. One text.\n2) "Two texts"\n\n3: three\nHope this helps!'
    assert read_answer(numbered, 1) == ([("One text.",), ("Two texts",), ("three",)], 0)
    assert read_answer("1. 2. a\n2. (1) b\n3. 7:10 c", 1)[0] == [("a",), ("b",), ("7:10 c",)]
    named = "1. (Positive) fun\n2. (negative) 2. dull\n3. (positive)"
    found = [("fun",), ("dull",), ("(positive)",)]
    assert read_answer(named, 1, ("negative", "positive"))[0] == found
    assert read_answer('- 2. a\n- "(1) b"\n- 3. "c"', 1)[0] == [("a",), ("b",), ("c",)]
    assert read_answer("1. a\n3:10 to Yuma", 1)[0] == [("a",)], "a time is no number of a line"
    assert read_answer("- a\n- b", 1) == ([("a",), ("b",)], 0)
    assert read_answer("plain line\n\nanother", 1) == ([("plain line",), ("another",)], 0)
    assert read_answer("1. a ||| b\n2. c\n3. ||| d", 2) == ([("a", "b")], 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Let\'s write 4 examples of the "negative" class!', True),
        ("There are two examples of the class “negative”.", True),
        ("They are a class named 'negative", True),
        ("Sentences such as 'positive' come to mind", True),
        ("Here are four lines:", True),
        ("**Four lines:**", True),
        ("a first-class film, and a fine example of its kind", False),
        ("it leaves a negative feeling, though the songs are positive", False),
        ("all the negatives of a classic", False),
        ("3:10 to Yuma", False),
    ],
)
def test_rows_about_the_task_are_told_from_rows_of_it(text, expected):
    assert is_of_the_task((text,), ("negative", "positive")) is expected


def test_rows_about_the_task_are_left_out_and_counted(server, pool, tmp_path):
    answer = f"1. An example of the class {pool.classes[0]}."
    server.plan = [lambda body: answer] * 20
    with pytest.raises(BenchmarkError, match=r"left out: .*[1-9]\d* about the task itself"):
        a_set(kept(pool, tmp_path / "parts"), agreeing=False)


def test_what_an_endpoint_needs_is_asked_before_work_starts(monkeypatch):
    from types import SimpleNamespace

    from benchmark.availability import missing_for
    from benchmark.core.learner import build_learner

    monkeypatch.delenv(endpoint.BASE_URL, raising=False)
    library = SimpleNamespace(
        require_encoder=lambda name: None, model_folder=lambda name: None,
        config=SimpleNamespace(offline=False),
    )  # fmt: skip
    method = METHODS.build("condense-lm", {"rewards": "frozen"})
    why = missing_for(library, method, build_learner("tfidf-lr"))
    assert "OPENAI_BASE_URL is not set" in why
    assert "'gpt-4o'" in why
    library.config.offline = True
    assert "--offline" in missing_for(library, method, build_learner("tfidf-lr"))
    with pytest.raises(InputError, match="without the name of a model"):
        METHODS.build("condense-lm", {"writer": "endpoint:"})


def test_a_pair_is_written_as_a_pair():
    pairs = toy_pool(2, per_class=6, pair=True)
    seen = {}

    class Pairs:
        def answer(self, prompt, seeds, most, parted):
            from methods.rewriting.writers import Answer

            seen["prompt"] = prompt
            return [Answer(f"1. one {seeds[0]} ||| two\n2. three ||| four {seeds[0]}", 1)]

    from methods import condense_lm

    class Written(condense_lm.CondenseLM):
        def _writer(self, pool):
            return Pairs()

    made = Written(**TOY).distil(pairs, Budget.dpc(2, 2), numpy_generator(1))
    assert "|||" in seen["prompt"]
    assert tuple(made.columns) == ("first", "second")
