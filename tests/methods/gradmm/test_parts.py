"""The parts: closed-form cosines, learners, projection, alternating steps, choice of candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from benchmark.core.errors import InputError
from methods.gradient_matching.closed_form import LastLayer, mean_cosine, row_cosines
from methods.readable import admm
from methods.readable.admm import ADMMPlan, Reading, write_rows
from methods.readable.candidates import Candidate, choose
from methods.readable.learners import ClassifierLearner, PromptLearner
from methods.readable.projection import Projector
from methods.readable.vocabulary import label_tokens, may_begin, words_of_classes, writable

RNG = np.random.default_rng(0)


def prompted(pool, vocabulary="all", words=()):
    folder = pool.services.model("phi-1.5")
    words = words or words_of_classes(pool.classes, ())
    return PromptLearner(folder, "phi-1.5", words, " It was", vocabulary)


def tokens(learner, pool, label):
    return learner.rows_of(pool, np.flatnonzero(pool.labels == label))


def test_mean_cosine_is_that_of_autograd():
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 3)
    features, labels = torch.randn(7, 5, requires_grad=True), torch.tensor([0, 1, 2, 1, 1, 0, 2])
    real = torch.randn(3, 6)
    rows = LastLayer.of(features, layer(features), labels)
    grads = torch.autograd.grad(
        cross_entropy(layer(features), labels), list(layer.parameters()), create_graph=True
    )
    flat = torch.cat([grads[0], grads[1][:, None]], 1)
    wanted = torch.cosine_similarity(flat.flatten(), real.flatten(), dim=0)
    assert float(mean_cosine(real, rows).detach()) == pytest.approx(
        float(wanted.detach()), abs=1e-6
    )
    (ours,) = torch.autograd.grad(mean_cosine(real, rows), features, retain_graph=True)
    (theirs,) = torch.autograd.grad(wanted, features)
    assert torch.allclose(ours, theirs, atol=1e-6)
    alone = [
        float(mean_cosine(real, LastLayer(rows.inputs[[i]], rows.errors[[i]])).detach())
        for i in range(7)
    ]
    assert row_cosines(real, rows).tolist() == pytest.approx(alone, abs=1e-6)


def test_the_prompted_gradient_is_that_of_the_output_layer(pool):
    learner = prompted(pool)
    rows = tokens(learner, pool, 1)[:4]
    head = learner.model.get_output_embeddings().weight.detach().clone().requires_grad_()
    target = learner.labels[1]
    total = 0.0
    for (text,) in rows:
        ids = [*map(int, text), *learner.prompt, *target[:-1]]
        states = learner.model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        logits = states[-len(target) :] @ head.T
        total = total + cross_entropy(logits, torch.tensor(target)) / len(rows)
    total.backward()
    mine = learner.layer_of_tokens(rows, 1).gradient()
    assert torch.allclose(mine, head.grad, atol=1e-5)


def test_embeddings_of_tokens_are_read_as_the_tokens(pool):
    for learner in (prompted(pool, "labels"), ClassifierLearner(pool.services.model("x"), 2, 3)):
        rows = [row for row in tokens(learner, pool, 0) if len(row[0]) == 8][:3]
        ids = torch.from_numpy(np.stack([row[0] for row in rows]))
        free = learner.layer([learner.table[ids]], 0)
        whole = learner.layer_of_tokens(rows, 0)
        assert torch.allclose(free.errors, whole.errors, atol=1e-5)
        assert torch.allclose(free.inputs, whole.inputs, atol=1e-5)


def test_padding_changes_nothing(pool):
    learner = prompted(pool)
    rows = [[np.arange(3, 3 + n)] for n in (2, 9, 5)]
    together = learner.layer_of_tokens(rows, 0)
    alone = [learner.layer_of_tokens([row], 0) for row in rows]
    assert torch.allclose(together.inputs, torch.cat([one.inputs for one in alone]), atol=1e-5)


def test_label_words(pool):
    tokenizer = prompted(pool).tokenizer
    both = label_tokens(tokenizer, ["class b", "class c"], "m")
    assert [len(ids) for ids in both] == [2, 2], "words that begin alike are told apart by the rest"
    assert [len(ids) for ids in label_tokens(tokenizer, ["very", "some"], "m")] == [1, 1]
    with pytest.raises(InputError, match=r"'phi-1\.5' has no tokens for the label word 'joyful'"):
        label_tokens(tokenizer, ["joyful", "very"], "phi-1.5")
    with pytest.raises(InputError, match="3 label words for 2 classes"):
        words_of_classes(["a", "b"], ("x", "y", "z"))
    with pytest.raises(InputError, match="must be different"):
        words_of_classes(["a", "b"], ("x", "x"))


def test_a_label_word_of_which_a_first_bit_alone_would_count_is_refused(pool):
    """A byte-level model has tokens for any word."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = dict.fromkeys([*pre_tokenizers.ByteLevel.alphabet(), "Ġg", "Ġgo", "Ġgoo", "Ġgood"])
    merges = [("Ġ", "g"), ("Ġg", "o"), ("Ġgo", "o"), ("Ġgoo", "d")]
    core = Tokenizer(models.BPE({token: i for i, token in enumerate(known)}, merges))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    words = ["good", "sad"]
    said = r"reads the label word 'sad' as 4 tokens \('' 's' 'a' 'd'\), and '' alone"
    with pytest.raises(InputError, match=said):
        label_tokens(tokenizer, words, "phi-1.5")
    assert [len(ids) for ids in label_tokens(tokenizer, ["sad", "mad"], "m")] == [4, 4]
    with pytest.raises(InputError, match="'very' alone would count; give words of one token"):
        label_tokens(prompted(pool).tokenizer, ["very bando", "some"], "phi-1.5")


def plain_projection(model, table, kept, k, order, x, before, first):
    """One forward pass over the whole prefix for each new token."""
    ids = torch.empty(x.shape[:2], dtype=torch.long)
    for row in range(len(x)):
        read = list(before)
        for t in range(x.shape[1]):
            logits, allowed = model(input_ids=torch.tensor([read])).logits[0, -1], kept
            if t == 0:
                allowed = first
            if order == "nearest-first":
                cosine = normalize(table[allowed], dim=1) @ normalize(x[row, t], dim=0)
                few = allowed[cosine.topk(k).indices]
                token = int(few[logits[few].argmax()])
            else:
                few = allowed[logits[allowed].topk(k).indices]
                token = int(few[(table[few] - x[row, t]).norm(dim=1).argmin()])
            ids[row, t] = token
            read.append(token)
    return ids


@pytest.mark.parametrize("order", ["nearest-first", "likely-first"])
def test_projection_is_that_of_reading_every_prefix(pool, order):
    learner = prompted(pool)
    allowed = torch.from_numpy(writable(learner.tokenizer, len(learner.table)))
    first = allowed[:9]
    projector = Projector(learner.model, learner.table, allowed, 4, order, first)
    x = torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(1))
    (found,) = projector.project([x], [5, 6])
    assert projector.forwards == 6
    with torch.no_grad():
        wanted = plain_projection(learner.model, learner.table, allowed, 4, order, x, [5, 6], first)
    assert torch.equal(found, wanted)
    assert set(found.flatten().tolist()) <= set(allowed.tolist())
    assert set(found[:, 0].tolist()) <= set(first.tolist())
    assert not set(found[:, 1:].flatten().tolist()) <= set(first.tolist())


def test_no_text_begins_within_a_word(pool):
    """In either order, and not the second text of a pair either."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = ["[UNK]", "film", "##ing", "##ed", "good"]
    core = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")
    ids = writable(tokenizer, len(words))
    assert ids.tolist() == [1, 2, 3, 4]
    assert may_begin(tokenizer, ids).tolist() == [1, 4]
    learner = prompted(pool)
    x = learner.table[torch.tensor([[2, 3]])]
    for order in ("nearest-first", "likely-first"):
        allowed, first = map(torch.from_numpy, (ids, may_begin(tokenizer, ids)))
        projector = Projector(learner.model, learner.table, allowed, 4, order, first)
        for text in projector.project([x, x], [5], [6]):
            assert int(text[0, 0]) in (1, 4)


def test_the_orders_differ_and_nearest_of_one_is_the_nearest_token(pool):
    learner = prompted(pool)
    allowed = torch.from_numpy(writable(learner.tokenizer, len(learner.table)))
    ids = allowed[torch.tensor([[3, 1, 7, 2]])]
    exact = Projector(learner.model, learner.table, allowed, 1, "nearest-first")
    assert torch.equal(exact.project([learner.table[ids]], [4])[0], ids)
    greedy = Projector(learner.model, learner.table, allowed, 1, "likely-first")
    assert not torch.equal(greedy.project([learner.table[ids]], [4])[0], ids)


def test_alternating_steps_turn_the_gradient_towards_the_wanted_one(pool):
    learner = prompted(pool, "labels")
    allowed = torch.from_numpy(writable(learner.tokenizer, len(learner.table)))
    projector = Projector(learner.model, learner.table, allowed, len(allowed), "likely-first")
    wanted = torch.randn(learner.gradient_shape, generator=torch.Generator().manual_seed(3))

    def cosine(inner_steps):
        plan = ADMMPlan(5, inner_steps, 0.1, 1e-3, 1)
        reading = Reading([5], [])
        rows = [
            write_rows(learner, projector, wanted, 0, (3, [6]), reading, plan, seed)[1]
            for seed in range(3)
        ]
        return np.mean(rows)

    assert cosine(10) > cosine(0) + 0.05


class Nearest:
    """Projects on the tokens nearest to embeddings, and keeps what it was asked."""

    def __init__(self, table):
        self.table, self.asked = table, []

    def project(self, embeddings, before, between):
        self.asked.append([part.detach().clone() for part in embeddings])
        return [torch.cdist(part, self.table[None]).argmin(2) for part in embeddings]


@pytest.mark.parametrize("rho", [0.02, 5.0])
def test_alternating_steps_are_those_of_the_paper(pool, rho):
    """Z, X and L written out: what is projected is X + L / rho, and the best X in the end."""
    learner = ClassifierLearner(pool.services.model("x"), 2, 3)
    wanted = torch.randn(learner.gradient_shape, generator=torch.Generator().manual_seed(3))
    plan, shape = ADMMPlan(4, 3, 0.05, rho, 1), (2, [5])
    projector = Nearest(learner.table)
    write_rows(learner, projector, wanted, 1, shape, Reading([], []), plan, 7)

    (x,) = admm._begin(learner, wanted, 1, shape, 1, 7)
    x.requires_grad_()
    dual, adam = torch.zeros_like(x), torch.optim.Adam([x], 0.05)
    asked, tried = [], []
    for _ in range(4):
        asked.append((x + dual / rho).detach().clone())
        z = learner.table[torch.cdist(asked[-1], learner.table[None]).argmin(2)]
        for _ in range(3):
            distance = 1 - mean_cosine(wanted, learner.layer([x], 1))
            loss = distance + rho / 2 * (x - z + dual / rho).square().sum()
            tried.append((float(loss.detach()), x.detach().clone()))
            (x.grad,) = torch.autograd.grad(loss, [x])
            torch.nn.utils.clip_grad_norm_([x], 1.0)
            adam.step()
        dual = dual + rho * (x - z).detach()
    asked.append(min(tried, key=lambda pair: pair[0])[1])
    assert len(projector.asked) == len(asked)
    for (mine,), theirs in zip(projector.asked, asked, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def a(distance, agrees=True, text=None):
    return Candidate((text or f"row {distance} {agrees}",), distance, agrees)


def test_rows_that_agree_come_first_then_the_nearest():
    rows = [a(0.1, False), a(0.4), a(0.2), a(0.3), a(0.2, text="row 0.3 True")]
    (chosen,) = choose([rows], [3], 1.0, False, RNG)
    assert [row.distance for row in chosen] == [0.2, 0.2, 0.4]
    assert len({row.texts for row in chosen}) == 3
    (all_of_them,) = choose([rows], [5], 0.1, False, RNG)
    assert len(all_of_them) == 5


def test_balancing_makes_easy_classes_as_hard_as_the_hardest():
    easy = [a(d) for d in (0.1, 0.2, 0.3, 0.4, 0.5)]
    hard = [a(d) for d in (0.3, 0.4, 0.9)]
    first, second = choose([easy, hard], [2, 2], 1.0, True, RNG)
    assert [row.distance for row in second] == [0.3, 0.4]
    assert [row.distance for row in first] == [0.3, 0.4]
    plain, _ = choose([easy, hard], [2, 2], 1.0, False, RNG)
    assert [row.distance for row in plain] == [0.1, 0.2]


def test_balancing_gives_no_agreeing_row_away_for_one_that_does_not():
    agreeing = [a(d) for d in (0.1, 0.2, 0.3, 0.4)]
    again, others = [a(0.1)] * 4, [a(d, False) for d in (0.5, 0.6, 0.7, 0.8)]
    hard = [a(d) for d in (0.9, 0.91, 0.92, 0.93)]
    chosen, _ = choose([agreeing + again + others, hard], [4, 4], 1.0, True, RNG)
    assert chosen == agreeing


def test_sets_draw_different_candidates():
    rows = [a(d / 100) for d in range(40)]
    drawn = {
        tuple(row.distance for row in choose([rows], [5], 0.5, True, np.random.default_rng(i))[0])
        for i in range(5)
    }
    assert len(drawn) > 1
