"""The gradient through the inner steps: finite differences, and two ways to the same number."""

import numpy as np
import pytest
import torch

from benchmark.core.finetune.embedded import EmbeddedRows
from methods.bilevel import unroll
from methods.bilevel.learnable import Layout, Learnable
from methods.bilevel.unroll import final_weights, unrolled


def learnable(attention: bool, passes: int = 2, label_type: str = "soft") -> Learnable:
    generator = torch.Generator().manual_seed(1)
    raw = torch.randn(4, 2, 2, 1, 3, generator=generator) if attention else None
    made = Learnable(
        Layout((2, 2), passes), 2, torch.randn(4, 3, 16, generator=generator), 0.3, label_type, raw
    )
    return made.double()


@pytest.fixture
def outer(double):
    """The plain loss of two fixed real rows, as the last step's weights see them."""
    loss, _ = double
    generator = torch.Generator().manual_seed(2)
    real = EmbeddedRows(
        torch.randn(2, 4, 16, generator=generator, dtype=torch.float64), torch.eye(2).double()
    )

    def gradient(weights):
        weights = {name: w.detach().requires_grad_() for name, w in weights.items()}
        value = loss(weights, real)
        found = torch.autograd.grad(value, list(weights.values()), materialize_grads=True)
        return float(value.detach()), dict(zip(weights, found, strict=True))

    return gradient


def gradients(made, double, outer, **settings) -> dict[str, torch.Tensor]:
    loss, weights = double
    learned = [p for p in made.parameters() if p.requires_grad]
    made.zero_grad()
    unrolled(weights, made.batches(), made.rates(), loss, outer, learned=learned, **settings)
    return {n: p.grad.clone() for n, p in made.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("attention", [False, True], ids=["plain", "attention"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("replay", [False, True], ids=["graph", "replay"])
def test_gradients_are_those_of_finite_differences(double, outer, replay, momentum, attention):
    made = learnable(attention)
    found = gradients(made, double, outer, momentum=momentum, replay=replay)
    loss, weights = double

    def value() -> float:
        with torch.no_grad():
            batches, rates = made.batches(), made.rates()
        return outer(final_weights(weights, batches, rates, loss, momentum))[0]

    rng = np.random.default_rng(0)
    for name, parameter in made.named_parameters():
        flat, by = parameter.data.view(-1), found[name].view(-1)
        assert by.abs().max() > 0, name
        for at in rng.choice(len(flat), min(4, len(flat)), replace=False):
            before, step = float(flat[at]), 1e-5
            flat[at] = before + step
            above = value()
            flat[at] = before - step
            below = value()
            flat[at] = before
            assert (above - below) / (2 * step) == pytest.approx(float(by[at]), rel=2e-5, abs=1e-9)


@pytest.mark.parametrize("in_memory", [0, 2**30], ids=["in a file", "in memory"])
def test_walking_back_equals_the_graph(double, outer, monkeypatch, tmp_path, in_memory):
    monkeypatch.setattr(unroll, "IN_MEMORY", in_memory)
    made = learnable(attention=True, passes=3)
    by_graph = gradients(made, double, outer, momentum=0.9)
    by_replay = gradients(made, double, outer, momentum=0.9, replay=True, folder=tmp_path)
    for name, gradient in by_graph.items():
        torch.testing.assert_close(by_replay[name], gradient, rtol=1e-8, atol=1e-12)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("replay", [False, True], ids=["graph", "replay"])
def test_a_loss_that_is_not_finite_leaves_no_gradient(double, replay):
    loss, weights = double
    made = learnable(attention=False)
    value = unrolled(
        weights, made.batches(), made.rates(), loss, lambda w: (float("nan"), w),
        learned=list(made.parameters()), replay=replay,
    )  # fmt: skip
    assert np.isnan(value)
    assert all(p.grad is None for p in made.parameters())


@pytest.mark.parametrize("replay", [False, True], ids=["graph", "replay"])
def test_hard_labels_are_not_learned(double, outer, replay):
    made = learnable(attention=False, label_type="hard")
    assert "raw_labels" not in gradients(made, double, outer, replay=replay)
    torch.testing.assert_close(made.labels(), torch.eye(2).double()[[0, 1, 0, 1]])


def test_rows_of_a_step_are_one_of_each_class_that_still_has_any():
    layout = Layout((2, 1, 3))
    assert layout.order == ((0, 1, 2), (3, 4), (5,))
    assert layout.labels.tolist() == [0, 1, 2, 0, 2, 2]
    assert Layout((1, 1), passes=3).order == ((0, 1),) * 3
    assert Layout((2, 2), passes=2, whole=True).order == ((0, 1, 2, 3),) * 2


def test_halved_rates_are_half():
    made = learnable(attention=False)
    before = made.rates().detach().clone()
    made.scale_rates(0.5)
    torch.testing.assert_close(made.rates(), before / 2)
