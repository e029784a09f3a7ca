"""TextCNN and TextRNN, a cell's runs side by side against a plain loop over the runs, in one run.

The plain loop is what one writes with torch: the paper's module, one run after the other, batches
padded to their longest row, `torch.optim.AdamW`, a linear schedule, evaluation in batches of 256
in the order of the texts. It is handed word ids, so that reading words is in neither time. Texts
are synthetic, of SST-2's and IMDB's numbers of words. One thread and CPU seconds, so that other
work on the machine counts for little.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from benchmark.core import words as words_module  # noqa: E402
from benchmark.core.distilled import DistilledSet  # noqa: E402
from benchmark.core.learner import LEARNERS, Run, TestTexts  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng, numpy_generator  # noqa: E402
from benchmark.core.words import WordVectors  # noqa: E402

pytestmark = pytest.mark.performance

DIMENSION, VOCABULARY, RUNS, ROUNDS = 50, 20_000, 4, 2
LENGTHS = {"short": (872, 3.0, 0.45), "long": (300, 5.2, 0.65)}  # texts, log-normal of their words
FLOORS = {  # measured at 5 to 20 per class: 3.8 to 6.7, 3.0 to 3.4, 3.5 to 4.4, 5.0 to 6.7
    ("text-cnn", "short"): 2.5,
    ("text-cnn", "long"): 2.2,
    ("text-rnn", "short"): 2.5,
    ("text-rnn", "long"): 3.0,
}


class PlainCnn(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(1, 100, (width, DIMENSION)) for width in (3, 4, 5))
        self.fc, self.dropout = nn.Linear(300, classes), nn.Dropout(0.5)

    def forward(self, embedded, lengths):
        maps = [F.relu(conv(embedded.unsqueeze(1))).squeeze(3) for conv in self.convs]
        pooled = [F.max_pool1d(m, m.shape[2]).squeeze(2) for m in maps]
        return self.fc(self.dropout(torch.cat(pooled, dim=1)))


class PlainRnn(nn.Module):
    """With packing, as is needed for the state after a text's last word.

    Without it, as in the paper's listing, padding is read as words; the ratios are then 1.1 to 1.9.
    """

    def __init__(self, classes):
        super().__init__()
        self.rnn = nn.LSTM(DIMENSION, 100, bidirectional=True, batch_first=True)
        self.fc, self.dropout = nn.Linear(200, classes), nn.Dropout(0.5)

    def forward(self, embedded, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            embedded, lengths, batch_first=True, enforce_sorted=False
        )
        _, (hidden, _) = self.rnn(packed)
        return self.fc(self.dropout(torch.cat((hidden[-2], hidden[-1]), dim=1)))


PLAIN = {"text-cnn": PlainCnn, "text-rnn": PlainRnn}


def plain_run(name, table, examples, labels, texts, seed):
    """Train and evaluate one run, as anyone would; texts are tensors of word ids."""

    def padded(part):
        lengths = torch.tensor([len(row) for row in part])
        rows = nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=len(table) - 1)
        if rows.shape[1] < 5:
            rows = F.pad(rows, (0, 5 - rows.shape[1]), value=len(table) - 1)
        return F.embedding(rows, table), lengths

    with isolated_torch_rng(seed):
        model = PLAIN[name](2)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
        steps = 20 * -(-len(examples) // 8)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
        for _ in range(20):
            for rows in torch.randperm(len(examples)).split(8):
                loss = F.cross_entropy(model(*padded([examples[i] for i in rows])), labels[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        trained = time.process_time()
        model.eval()
        with torch.no_grad():
            batches = (texts[start : start + 256] for start in range(0, len(texts), 256))
            logits = torch.cat([model(*padded(batch)) for batch in batches])
    return logits.numpy(), trained


def some_texts(rng, n, mean, spread):
    """Texts of Zipf words, of which the first ones lean to a class."""
    lengths = np.clip(rng.lognormal(mean, spread, n), 2, 800).astype(int)
    ranks = np.minimum(rng.zipf(1.3, lengths.sum()), VOCABULARY - 40)
    labels = np.arange(n) % 2
    texts = [
        " ".join(f"w{rank}" for rank in part) for part in np.split(ranks, np.cumsum(lengths)[:-1])
    ]
    hints = VOCABULARY - 40 + rng.integers(1, 20, (n, 3)) + 20 * labels[:, None]
    return [f"w{a} w{b} w{c} {text}" for (a, b, c), text in zip(hints, texts, strict=True)], labels


@pytest.mark.parametrize("kind", LENGTHS)
@pytest.mark.parametrize("name", PLAIN)
def test_runs_side_by_side(name, kind, one_thread, monkeypatch, tmp_path):
    rng = numpy_generator(0)
    n_texts, mean, spread = LENGTHS[kind]
    vectors = WordVectors.of(
        [f"w{rank}" for rank in range(1, VOCABULARY + 1)],
        rng.standard_normal((VOCABULARY, DIMENSION)).astype(np.float32) * 0.6,
    )
    monkeypatch.setattr(words_module, "held", lambda _: vectors)
    queries, gold = some_texts(rng, n_texts, mean, spread)
    test = TestTexts({"text": queries}, ("a", "b"), "f", lambda _: None, lambda *_: None)
    learner = LEARNERS.build(name)
    models = {learner.model: tmp_path}
    print()
    for dpc in (5, 20):
        drawn = [some_texts(rng, 2 * dpc, mean, spread) for _ in range(RUNS)]
        runs = [
            Run(DistilledSet.of_texts({"text": texts}, labels, test.classes), seed)
            for seed, (texts, labels) in enumerate(drawn)
        ]

        def ids(texts):
            return [torch.tensor(vectors.ids(text, 128)) for text in texts]

        table = torch.from_numpy(np.vstack([vectors.vectors, np.zeros((1, DIMENSION), np.float32)]))
        inputs = [(ids(texts), torch.from_numpy(labels)) for texts, labels in drawn]
        tokens = ids(queries)
        list(learner.fit_predict(runs[:1], test, models))  # reads the test texts
        ours, plain = [], []
        for _ in range(ROUNDS):
            start = time.process_time()
            outcomes = list(learner.fit_predict(runs, test, models))
            ours.append((time.process_time() - start) / RUNS)
            accuracies, training = [], 0.0
            start = time.process_time()
            for seed, (examples, labels) in enumerate(inputs):
                begun = time.process_time()
                logits, trained = plain_run(name, table, examples, labels, tokens, seed)
                training += trained - begun
                accuracies.append((logits.argmax(axis=1) == gold).mean())
            plain.append((time.process_time() - start) / RUNS)
        accuracy = np.mean([(o.scores.argmax(axis=1) == gold).mean() for o in outcomes])
        ratio = min(plain) / min(ours)
        print(
            f"{name} {kind:5} DPC {dpc:2}: plain {min(plain) * 1e3:6.1f} ms a run "
            f"({training / RUNS * 1e3:.0f} of them training), here {min(ours) * 1e3:6.1f} "
            f"({outcomes[0].train_seconds * 1e3:.0f}), {ratio:.1f} times faster; "
            f"accuracy {np.mean(accuracies):.3f}, here {accuracy:.3f}"
        )
        assert ratio >= FLOORS[name, kind]
        assert abs(accuracy - np.mean(accuracies)) < 0.1  # of four runs; dropout differs
