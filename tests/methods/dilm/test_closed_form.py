"""The closed form is what autograd computes, for the last layer and for a whole generator step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy
from transformers import BertConfig, BertForSequenceClassification

from benchmark.core.finetune.recipe import Recipe
from benchmark.core.seeding import isolated_torch_rng, numpy_generator
from methods.gradient_matching.closed_form import (
    LastLayer,
    by_likelihood,
    match,
    row_weights,
    scale,
)
from methods.gradient_matching.matching import generator_backward
from methods.language_models.likelihood import likelihood
from tests.methods.dilm.conftest import rows_of

KINDS = ("paper", "padded", "token-mean")


def a_bert(n_classes):
    config = BertConfig(
        vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32, num_labels=n_classes,
    )  # fmt: skip
    with isolated_torch_rng(2):
        model = BertForSequenceClassification(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def some_ids(n, seed):
    return torch.from_numpy(numpy_generator(seed).integers(0, 60, (n, 11)))


def last_layer_of(model, ids, labels):
    seen = []
    hook = model.classifier.register_forward_pre_hook(lambda m, given: seen.append(given[0]))
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    hook.remove()
    return LastLayer.of(seen[0], logits, labels)


def autograd(model, ids, labels, weights, create_graph=False):
    losses = cross_entropy(model(input_ids=ids).logits, labels, reduction="none")
    head = list(model.classifier.parameters())
    w, b = torch.autograd.grad((weights * losses).sum(), head, create_graph=create_graph)
    return torch.cat([w, b[:, None]], 1)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_gradient_cosine_and_derivative_equal_autograd_on_a_bert(n_classes):
    model = a_bert(n_classes)
    real_ids, made_ids = some_ids(12, 0), some_ids(7, 1)
    label = n_classes - 1
    real_labels, made_labels = torch.full((12,), label), torch.full((7,), label)
    weights = torch.linspace(0.05, 0.4, 7, requires_grad=True)
    real = autograd(model, real_ids, real_labels, torch.full((12,), 1 / 12))
    synthetic = autograd(model, made_ids, made_labels, weights, create_graph=True)
    cosine = cosine_similarity(real.flatten(), synthetic.flatten(), dim=0)
    cosine.backward()

    mine = last_layer_of(model, real_ids, real_labels).gradient()
    torch.testing.assert_close(mine, real, atol=1e-5, rtol=1e-5)
    rows = last_layer_of(model, made_ids, made_labels)
    torch.testing.assert_close(
        rows.gradient(weights.detach()), synthetic.detach(), atol=1e-5, rtol=1e-5
    )
    found = match(mine, rows, weights.detach())
    assert found.cosine == pytest.approx(float(cosine.detach()), abs=1e-5)
    torch.testing.assert_close(found.by_weight, weights.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_derivative_by_likelihood_is_that_of_the_softmax(kind):
    nll = torch.tensor([3.0, 9.0, 4.5, 20.0], requires_grad=True)
    tokens = torch.tensor([4, 9, 5, 17])
    direction = torch.tensor([1.0, -2.0, 0.5, 3.0])
    (row_weights(nll, tokens, kind) * direction).sum().backward()
    weights = row_weights(nll.detach(), tokens, kind)
    torch.testing.assert_close(by_likelihood(direction, weights, tokens, kind), nll.grad)


def test_weights_are_those_of_paper_and_code():
    tokens = torch.tensor([4, 9])
    assert scale(tokens, "paper").tolist() == [1, 1]
    assert scale(tokens, "padded").tolist() == [15, 15]  # 10 tokens, padded to 16, less one
    assert scale(tokens, "token-mean").tolist() == [4, 9]
    p = torch.tensor([0.3, 0.1])
    torch.testing.assert_close(row_weights(-p.log(), tokens, "paper"), p / p.sum())


def test_a_zero_gradient_moves_nothing():
    rows = LastLayer(torch.ones(3, 5), torch.zeros(3, 2))
    found = match(torch.ones(2, 5), rows, torch.full((3,), 1 / 3))
    assert found.cosine == 0
    assert not found.by_weight.any()


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_step_equals_plain_autograd(generator, pool, kind, parts):
    """The plain way: backward through learner and generator with a graph of the gradients."""
    learner = a_bert(2)
    rows, counts = rows_of(generator, pool), (10, 10)
    ids = [some_ids(n, 10 + label) for label, n in enumerate(counts)]
    real_ids = [some_ids(12, 20 + label) for label in range(2)]
    model = generator.model
    expected = 0.0
    for label in range(2):
        mine = rows[10 * label : 10 * label + 10]
        found = [likelihood(model, [row], "float32") for row in mine]
        nll = torch.cat([f.nll for f in found])
        weights = row_weights(nll, torch.cat([f.tokens for f in found]), kind)
        labels = torch.full((10,), label)
        synthetic = autograd(learner, ids[label], labels, weights, create_graph=True)
        real_labels = torch.full((12,), label)
        real = autograd(learner, real_ids[label], real_labels, torch.full((12,), 1 / 12))
        expected += (1 - cosine_similarity(real.flatten(), synthetic.flatten(), dim=0)) / 2
    expected.backward()
    plain = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()

    real = [
        last_layer_of(learner, i, torch.full((12,), c)).gradient() for c, i in enumerate(real_ids)
    ]
    layers = [last_layer_of(learner, i, torch.full((10,), c)) for c, i in enumerate(ids)]
    recipe = Recipe(precision="float32")
    loss = generator_backward(generator, rows, real, layers, kind, recipe, parts)
    assert loss == pytest.approx(float(expected.detach()), abs=1e-5)
    size = max(float(g.abs().max()) for g in plain)
    assert size > 0
    for mine, theirs in zip(model.parameters(), plain, strict=True):
        assert np.allclose(mine.grad, theirs, atol=1e-4 * size)


def test_steps_raise_the_cosine_and_the_weights_of_rows_that_help(generator, pool):
    rows = rows_of(generator, pool)[:10]
    learner = a_bert(2)
    layer = last_layer_of(learner, some_ids(10, 1), torch.zeros(10, dtype=torch.long))
    real = LastLayer(layer.inputs[3:4], layer.errors[3:4]).gradient()  # as if row 3 were all
    recipe = Recipe(precision="float32")
    optimiser = torch.optim.AdamW(generator.model.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        losses.append(generator_backward(generator, rows, [real], [layer], "token-mean", recipe, 1))
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]
    found = likelihood(generator.model, rows, "float32")
    assert int(row_weights(found.nll, found.tokens, "token-mean").argmax()) == 3
