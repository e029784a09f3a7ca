"""The parts of a training: stacked weights, batches, dropout and reversal."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tiny_vectors import DIMENSION, WORDS, vectors_of_words  # noqa: E402

from benchmark.core.seeding import torch_generator  # noqa: E402
from benchmark.core.wordnets.networks import Batch, Convolutions  # noqa: E402
from benchmark.core.wordnets.stack import Stack  # noqa: E402
from benchmark.core.words import WordVectors  # noqa: E402
from evaluators.wordnets.training import Examples, Recipe, _dropout  # noqa: E402


def test_a_stack_draws_each_run_from_its_own_generator():
    network = Convolutions(4, (3,))
    shapes = network.shapes(DIMENSION)
    both = Stack(shapes, [torch_generator(1), torch_generator(2)])
    alone = Stack(shapes, [torch_generator(2)])
    assert torch.equal(both.values[1], alone.values[0])
    bound = (3 * DIMENSION) ** -0.5
    weights = both.of_run[0]["filters3"]
    assert weights.shape == (4, 3, DIMENSION)
    assert bound / 2 < weights.abs().max() <= bound
    (weights * 2).sum().backward()
    assert both.values.grad[0].sum() == 2 * weights.numel()
    assert not both.values.grad[1].any()


def test_batches_visit_every_row_once_an_epoch():
    vectors = WordVectors.of(WORDS, vectors_of_words())
    read = vectors.read({"text": ["good"] * 10}, 128)
    examples = Examples(read, torch.eye(2)[[0, 1] * 5], 3, 5)
    batches = list(examples.epochs(2, 4))
    assert [len(rows) for rows in batches] == [4, 4, 2] * 2
    epochs = [torch.cat(batches[:3]).tolist(), torch.cat(batches[3:]).tolist()]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]
    assert Recipe(2, 1.0, 4, 0.0, 0.0).steps(10) == 6
    assert [Recipe(1, 2.0, 4, 0.0, 0.0).rate(step, 4) for step in range(4)] == [2.0, 1.5, 1.0, 0.5]


def test_dropout_keeps_the_mean_and_is_the_runs_own():
    drop = _dropout(0.25, torch_generator(1))
    dropped = drop(torch.ones(20_000))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert not torch.equal(drop(torch.ones(20_000)), dropped)
    assert torch.equal(_dropout(0.25, torch_generator(1))(torch.ones(20_000)), dropped)


def test_reversal_leaves_padding_at_the_end():
    batch = Batch(torch.arange(8.0).view(2, 4, 1), torch.tensor([4, 2]))
    assert batch.reversed[:, :, 0].tolist() == [[3, 2, 1, 0], [5, 4, 6, 7]]
    assert batch.last(batch.vectors)[:, 0].tolist() == [3, 5]
    assert not batch.is_even
