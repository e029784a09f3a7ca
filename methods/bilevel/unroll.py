"""Through the inner steps and back: how the outer loss depends on what the steps were given.

Inner steps are gradient steps with momentum,

    v[t+1] = momentum v[t] + grad l(w[t], batch[t]),    w[t+1] = w[t] - rate[t] v[t+1].

`graph` keeps the graph of all steps and differentiates it once (memory grows with every step's
activations). `replay` keeps the weights alone and walks back step by step: with a and b the outer
loss's gradients for w[t+1] and v[t+1],

    c = b - rate[t] a,    d rate[t] = -a . v[t+1],    b' = momentum c,    a' = a + H[t] c,

and the batch's gradient is that of (grad l . c): one Hessian-vector product a step (Domke, AISTATS
2012; Maclaurin et al., ICML 2015). Weights of earlier steps lie in a file, so that memory does not
grow. Both give the same gradients.

Sets are made one by one. From the first step on each has weights of its own, so `vmap` over sets
shares no product of matrices: four of MiniLM's took 1.01 (one row a class) and 1.02 times less
(five rows) of a CPU together than alone (`tests/performance/test_unroll_speed.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmark.core.finetune.embedded import EmbeddedRows, Weights

InnerLoss = Callable[[Weights, EmbeddedRows], torch.Tensor]
OuterGradient = Callable[[Weights], tuple[float, Weights]]
"""From the weights after the last step to the outer loss and its gradient for them."""

IN_MEMORY = 64 * 2**20  # bytes of weights that are not worth a file


def unrolled(
    start: Weights,
    batches: Sequence[EmbeddedRows],
    rates: torch.Tensor,
    loss: InnerLoss,
    outer: OuterGradient,
    *,
    learned: Sequence[torch.Tensor],
    momentum: float = 0.0,
    replay: bool = False,
    folder: Path | None = None,
) -> float:
    """Take the inner steps and add the outer loss's gradients to those of the learned parameters.

    Parameters
    ----------
    start : weights before the first step.
    batches, rates : one of each a step; part of a graph that leads to the `learned` leaves.
    folder : where `replay` may put a temporary file.

    Returns the outer loss; nothing is added where it is not finite.
    """
    walk = _by_replay if replay else _by_graph
    return walk(start, batches, rates, loss, outer, list(learned), momentum, folder)


def final_weights(
    start: Weights,
    batches: Sequence[EmbeddedRows],
    rates: torch.Tensor,
    loss: InnerLoss,
    momentum: float = 0.0,
) -> Weights:
    """Take the inner steps alone."""
    weights, velocity = dict(start), None
    for batch, rate in zip(batches, rates.tolist(), strict=True):
        weights, velocity = _step(weights, velocity, batch, rate, loss, momentum)
    return weights


def _by_graph(start, batches, rates, loss, outer, learned, momentum, folder) -> float:
    weights = {name: w.detach().requires_grad_() for name, w in start.items()}
    velocity: Weights | None = None
    for batch, rate in zip(batches, rates, strict=True):
        gradient = _gradient(weights, batch, loss, graph=True)
        velocity = {
            name: g if velocity is None else momentum * velocity[name] + g
            for name, g in gradient.items()
        }
        weights = {name: w - rate * velocity[name] for name, w in weights.items()}
    value, by_weight = outer({name: w.detach() for name, w in weights.items()})
    if np.isfinite(value):
        torch.autograd.backward(
            list(weights.values()), [by_weight[name] for name in weights], inputs=learned
        )
    return value


def _by_replay(start, batches, rates, loss, outer, learned, momentum, folder) -> float:
    states = _States(len(batches), start, folder)
    weights, velocity = dict(start), None
    plain = [EmbeddedRows(*(None if t is None else t.detach() for t in batch)) for batch in batches]
    for batch, rate in zip(plain, rates.tolist(), strict=True):
        states.push(weights)
        weights, velocity = _step(weights, velocity, batch, rate, loss, momentum)
    value, by_weight = outer(weights)
    if not np.isfinite(value):
        return value
    by_weight = {name: g.clone() for name, g in by_weight.items()}
    by_velocity = {name: torch.zeros_like(w) for name, w in weights.items()}
    by_rate = torch.zeros_like(rates)
    tensors: list[torch.Tensor] = []
    gradients: list[torch.Tensor] = []
    for t in range(len(batches) - 1, -1, -1):
        rate = float(rates[t].detach())
        before = states.pop(start)
        for name, a in by_weight.items():  # -rate v = w[t+1] - w[t]
            by_rate[t] += (a * (weights[name] - before[name])).sum() / rate
            by_velocity[name].sub_(a, alpha=rate)
        of_batch, product = _hessian_product(before, plain[t], by_velocity, loss, t > 0)
        for name, h in product.items():
            by_weight[name] += h
            by_velocity[name] *= momentum
        given = [tensor for tensor in batches[t] if tensor is not None]
        for tensor, gradient in zip(given, of_batch, strict=True):
            if tensor.requires_grad:
                tensors.append(tensor)
                gradients.append(gradient)
        weights = before
    torch.autograd.backward([*tensors, rates], [*gradients, by_rate], inputs=learned)
    return value


def _step(
    weights: Weights,
    velocity: Weights | None,
    batch: EmbeddedRows,
    rate: float,
    loss: InnerLoss,
    momentum: float,
) -> tuple[Weights, Weights]:
    gradient = _gradient({n: w.detach().requires_grad_() for n, w in weights.items()}, batch, loss)
    with torch.no_grad():
        if velocity is None:
            velocity = gradient
        else:
            velocity = {name: velocity[name].mul_(momentum).add_(g) for name, g in gradient.items()}
        return {n: torch.sub(w, velocity[n], alpha=rate) for n, w in weights.items()}, velocity


def _gradient(
    weights: Weights, batch: EmbeddedRows, loss: InnerLoss, graph: bool = False
) -> Weights:
    found = torch.autograd.grad(
        loss(weights, batch), list(weights.values()), create_graph=graph, materialize_grads=True
    )
    return dict(zip(weights, found, strict=True))


def _hessian_product(
    weights: Weights, batch: EmbeddedRows, direction: Weights, loss: InnerLoss, of_weights: bool
) -> tuple[list[torch.Tensor], Weights]:
    """Gradients of (grad_w l . direction) for the batch's tensors, and for the weights if asked."""
    weights = {name: w.detach().requires_grad_() for name, w in weights.items()}
    given = EmbeddedRows(*(None if t is None else t.detach().requires_grad_() for t in batch))
    gradient = _gradient(weights, given, loss, graph=True)
    tensors = [t for t in given if t is not None]
    found = torch.autograd.grad(
        list(gradient.values()),
        [*tensors, *(weights.values() if of_weights else ())],
        grad_outputs=[direction[name] for name in gradient],
        materialize_grads=True,
    )
    product = dict(zip(weights, found[len(tensors) :], strict=True)) if of_weights else {}
    return list(found[: len(tensors)]), product


class _States:
    """Weights of the steps that were taken, last in, first out; in a file where they are large."""

    def __init__(self, steps: int, like: Weights, folder: Path | None) -> None:
        self.held: list[Weights] = []
        self.size, self.count = sum(w.numel() * w.element_size() for w in like.values()), 0
        self.file = (
            tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it closes with this object
            if steps * self.size > IN_MEMORY
            else None
        )

    def push(self, weights: Weights) -> None:
        if self.file is None:
            self.held.append(weights)
            return
        self.file.seek(self.count * self.size)
        for w in weights.values():
            w.detach().cpu().contiguous().numpy().tofile(self.file)
        self.count += 1

    def pop(self, like: Weights) -> Weights:
        if self.file is None:
            return self.held.pop()
        self.count -= 1
        self.file.seek(self.count * self.size)
        found = {}
        for name, w in like.items():
            empty = torch.empty(0, dtype=w.dtype).numpy()
            flat = np.fromfile(self.file, dtype=empty.dtype, count=w.numel())
            found[name] = torch.from_numpy(flat).view(w.shape).to(w.device)
        return found
