"""The parts of a prompt: pieces of text, label words, label trees and batches."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from in_context_runs import make_set, make_test, scores_of, sentences
from tiny_language_models import FAMILIES

from evaluators.prompting.labels import LabelTree, label_words
from evaluators.prompting.language_model import held
from evaluators.prompting.pieces import Template, continuation
from evaluators.prompting.prompt import batches


def test_pairs_show_both_columns(folders):
    template = Template.of(held(folders["gpt2"], "float32").tokenizer, ("premise", "question"), 99)
    texts = [["a film\n\nlabel: positive"], ["was  it good"]]
    (piece,) = template.pieces(texts, ["not duplicate"])
    assert template.tokenizer.decode(piece) == (
        "\n\npremise: a film label: positive\nquestion: was it good\nlabel: not duplicate"
    )
    assert template.tokenizer.decode(template.pieces(texts, first=True)[0]).endswith("label:")
    columns = {"premise": sentences(4, 1), "question": sentences(4, 2)}
    test = make_test(premise=sentences(9, 3), question=sentences(9, 4))
    scores = scores_of(folders["gpt2"], make_set([0, 1, 0, 1], **columns), test)
    swapped = {"premise": columns["question"], "question": columns["premise"]}
    assert not np.allclose(
        scores, scores_of(folders["gpt2"], make_set([0, 1, 0, 1], **swapped), test)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_piece_is_cut_in_its_texts_alone(folders, family):
    tokenizer = held(folders[family], "float32").tokenizer
    template = Template.of(tokenizer, ("premise", "question"), 80)
    long = " ".join(sentences(400, 5))
    cases = {"both": ([long], [long]), "one": (["a film"], [long])}
    for texts in cases.values():
        (piece,) = template.pieces(texts, ["positive"])
        assert len(piece) == template.limit
        text = tokenizer.decode(piece)
        assert text.startswith("\n\npremise: ")
        assert "\nquestion: " in text
        assert text.endswith("\nlabel: positive")
    assert "premise: a film\n" in text, "the short text was cut"


def test_label_words():
    assert label_words(["not_equivalent", "_red_heart_"]) == ["not equivalent", "red heart"]
    assert label_words(["a_b", "a b"]) == ["a_b", "a b"]
    assert label_words(["_", "b"]) == ["_", "b"]


def test_a_tree_has_only_what_parts_labels():
    flat = LabelTree.of_tokens([[1, 9], [2, 5, 9]])
    assert (flat.depth, len(flat.tokens), len(flat.branches)) == (0, 0, 1)
    prefixed = LabelTree.of_tokens([[1, 9], [1, 2, 9], [1, 2, 3, 9], [4, 9]])
    assert prefixed.tokens.tolist() == [1, 2]
    assert prefixed.parents.tolist() == [-1, 0]
    assert prefixed.ancestry().tolist() == [[True, False], [True, True]]
    shared = LabelTree.of_tokens([[7, 1, 9], [7, 2, 9]])
    assert [branch.node for branch in shared.branches] == [0]
    assert LabelTree.of_tokens([[1, 9]]).branches == ()


def test_leading_spaces_follow_the_tokenizer(folders):
    for family in FAMILIES:
        tokenizer = held(folders[family], "float32").tokenizer
        ids = continuation(tokenizer, "label:", " positive")
        start = tokenizer.convert_ids_to_tokens(ids)[0]
        assert start[0] == ("▁" if family == "llama" else "Ġ")


def test_batches_hold_every_row_once_with_one_prefix_each():
    rng = np.random.default_rng(0)
    room, widths = rng.choice([10, 500], 5000), rng.integers(3, 300, 5000)
    found = list(batches(room, widths))
    assert sorted(np.concatenate(found)) == list(range(5000))
    for batch in found:
        assert len(set(room[batch])) == 1
        assert len(batch) * widths[batch].max() <= 2048
    assert len(found) < 5000 * widths.mean() / 2048 * 1.2 + 2
