"""TextCNN and TextRNN are the paper's networks, trained as a plain loop trains them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_vectors import DIMENSION, WORDS, review, vectors_of_words  # noqa: E402
from torch import nn  # noqa: E402

from benchmark.core.seeding import numpy_generator  # noqa: E402
from benchmark.core.wordnets.networks import Convolutions, Recurrence  # noqa: E402
from benchmark.core.words import UNKNOWN, WordVectors  # noqa: E402
from evaluators.wordnets.training import Examples, Recipe, predict, train  # noqa: E402


class PaperCnn(nn.Module):
    """The listing of appendix A.2, for one text at a time."""

    def __init__(self, filters, widths, classes):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(1, filters, (width, DIMENSION)) for width in widths)
        self.fc = nn.Linear(filters * len(widths), classes)

    def forward(self, x):
        maps = [torch.relu(conv(x[None, None])).squeeze(3) for conv in self.convs]
        return self.fc(torch.cat([m.amax(dim=2) for m in maps], dim=1))


class PaperRnn(nn.Module):
    """The listing of appendix A.3, for one text at a time."""

    def __init__(self, hidden, layers, classes):
        super().__init__()
        self.rnn = nn.LSTM(DIMENSION, hidden, layers, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(2 * hidden, classes)

    def forward(self, x):
        _, (state, _) = self.rnn(x[None])
        return self.fc(torch.cat((state[-2], state[-1]), dim=1))


def paper_network(network, weights, classes):
    """The paper's module with the weights of one run; a list of its parameters by our names."""
    if isinstance(network, Convolutions):
        module = PaperCnn(network.filters, network.widths, classes)
        pairs = {}
        for width, conv in zip(network.widths, module.convs, strict=True):
            pairs |= {f"filters{width}": conv.weight, f"bias{width}": conv.bias}
    else:
        module = PaperRnn(network.hidden, network.layers, classes)
        pairs = {
            f"{ours}{layer}{way}": getattr(module.rnn, f"{theirs}_l{layer}{suffix}")
            for layer in range(network.layers)
            for way, suffix in (("forward", ""), ("backward", "_reverse"))
            for ours, theirs in (
                ("input", "weight_ih"),
                ("state", "weight_hh"),
                ("input-bias", "bias_ih"),
                ("state-bias", "bias_hh"),
            )
        }
    pairs |= {"last": module.fc.weight, "last-bias": module.fc.bias}
    with torch.no_grad():
        for name, parameter in pairs.items():
            values = weights[name].detach()
            parameter.copy_((values.T if name == "last" else values).reshape(parameter.shape))
    return module, pairs


NETWORKS = pytest.mark.parametrize(
    "network", [Convolutions(7, (3, 4, 5)), Recurrence(5, 1), Recurrence(5, 2)], ids=repr
)


def vectors_of_text(vectors, text, shortest):
    ids = vectors.ids(text, 128)
    rows = [np.zeros(DIMENSION) if i == UNKNOWN else vectors.vectors[i] for i in ids]
    rows += [np.zeros(DIMENSION)] * (shortest - len(rows))
    return torch.from_numpy(np.array(rows, dtype=np.float32))


@NETWORKS
def test_the_networks_are_those_of_the_paper_whatever_the_padding(network):
    vectors = WordVectors.of(WORDS, vectors_of_words())
    texts = [
        "good",
        "nothing here is known",
        *(review(numpy_generator(i), i % 2) for i in range(9)),
    ]
    read = vectors.read({"text": texts}, 128)
    recipe = Recipe(1, 0.01, 8, 0.01, 0.5)
    examples = Examples(read, torch.eye(3)[torch.arange(11) % 3], 4, network.shortest)
    stack = train(network, recipe, [examples]).stack
    logits = predict(network, stack, [0], read)[0]
    paper, _ = paper_network(network, stack.of_run[0], 3)
    for text, actual in zip(texts, logits, strict=True):
        expected = paper(vectors_of_text(vectors, text, network.shortest)).detach().numpy()[0]
        np.testing.assert_allclose(actual, expected, atol=1e-5)


@NETWORKS
def test_training_is_that_of_a_plain_loop(network):
    """AdamW on every weight, the rate falling linearly to 0; dropout off, one batch an epoch."""
    vectors = WordVectors.of(WORDS, vectors_of_words())
    rng = numpy_generator(3)
    texts = [review(rng, i % 2, high=9) for i in range(6)]
    read = vectors.read({"text": texts}, 128)
    targets = torch.from_numpy(rng.dirichlet(np.ones(3), 6).astype(np.float32))
    recipe = Recipe(12, 0.01, 8, 0.05, 0.0)
    examples = Examples(read, targets, 9, network.shortest)
    trained = train(network, recipe, [examples])
    untrained = train(network, Recipe(12, 1e-30, 8, 0.0, 0.0), [examples]).stack.of_run[0]
    paper, pairs = paper_network(network, untrained, 3)
    optimiser = torch.optim.AdamW(paper.parameters(), lr=0.01, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / 12)
    rows = [vectors_of_text(vectors, text, network.shortest) for text in texts]
    for _ in range(12):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(torch.cat([paper(row) for row in rows]), targets)
        loss.backward()
        optimiser.step()
        schedule.step()
    assert trained.losses[0] == pytest.approx(loss.item(), abs=1e-4)
    for name, parameter in pairs.items():
        ours = trained.stack.of_run[0][name].detach()
        ours = (ours.T if name == "last" else ours).reshape(parameter.shape)
        np.testing.assert_allclose(ours, parameter.detach(), atol=2e-4, err_msg=name)
