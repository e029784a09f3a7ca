"""Two tiny tasks, a tiny BERT and the file that names them, made in a second."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.core.keys import sha256_file

WORDS = {
    0: ["bad", "poor", "dull", "flat", "weak", "boring"],
    1: ["great", "good", "fine", "warm", "funny", "moving"],
    2: ["film", "movie", "story", "cast", "plot", "scene"],
}
FILLER = ["the", "a", "this", "that", "was", "is", "feels", "very", "quite", "and", "but", "of"]
TASKS = """
[model.tiny]
hub = "toy/tiny-bert"
[encoder.tiny]
model = "tiny"
max_length = 32
dtype = "float32"
[learner.tiny-bert]
kind = "transformer"
model = "tiny"
steps = 4
batch_size = 8
learning_rate = 1e-3
precision = "float32"
[learner.tiny-probe]
kind = "probe"
encoder = "tiny"
[protocol.tiny]
sets = 3
seeds = 2
dpc = [2, 4]
[task.mood]
dataset = "toy/mood"
text = ["text"]
label = "label"
classes = ["bad", "good"]
metric = "accuracy"
[task.pair]
dataset = "toy/pair"
text = ["first", "second"]
label = "label"
classes = ["bad", "good", "neither"]
metric = "macro_f1"
[task.nowhere]
dataset = "toy/nowhere"
text = ["text"]
label = "label"
classes = ["bad", "good"]
[suite.toy]
tasks = ["mood", "pair"]
methods = ["random", "k-centers", "herding"]
learners = ["tfidf-lr", "tiny-bert"]
encoder = "tiny"
protocol = "tiny"
[suite.gaps]
tasks = ["mood", "nowhere"]
methods = ["random"]
learners = ["tfidf-lr", "bert-base"]
encoder = "tiny"
protocol = "tiny"
dpc = [2]
"""


def sentences(rng: np.random.Generator, labels: np.ndarray) -> list[str]:
    """Sentences whose words tell the class, some of the time."""
    return [
        " ".join(rng.permutation([*rng.choice(FILLER, 5), *rng.choice(WORDS[int(label)], 2)]))
        for label in labels
    ]


def write_table(assets: Path, name: str, split: str, table: pd.DataFrame) -> None:
    """Write one split and enter it in the manifest."""
    path = assets / "datasets" / name / "default" / f"{split}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)
    enter(assets / "datasets", path, rows=len(table))


def enter(root: Path, path: Path, **facts: int) -> None:
    """Add a file to the manifest of `root`."""
    manifest = root / "manifest.json"
    entries = json.loads(manifest.read_text()) if manifest.is_file() else {}
    entries[path.relative_to(root).as_posix()] = {"sha256": sha256_file(path), **facts}
    manifest.write_text(json.dumps(entries))


def write_model(folder: Path) -> None:
    """Save a two-layer BERT with a WordPiece tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FILLER]
    words += [word for part in WORDS.values() for word in part]
    tokenizer = BertTokenizer(vocab={w: i for i, w in enumerate(words)}, model_max_length=64)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = BertModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in sorted(folder.iterdir()):
        enter(folder.parents[1], path)


@dataclass(frozen=True)
class World:
    """Where the tiny assets and the file of tiny tasks are."""

    assets: Path
    tasks: Path

    def flags(self, store: Path) -> list[str]:
        """The flags that every verb takes."""
        places = {"--store": store, "--assets": self.assets, "--tasks": self.tasks}
        return ["--offline", *(str(part) for pair in places.items() for part in pair)]

    def copy(self, folder: Path) -> World:
        """A copy that a test may spoil."""
        shutil.copytree(self.assets, folder / "assets")
        shutil.copy(self.tasks, folder / "tasks.toml")
        return World(folder / "assets", folder / "tasks.toml")

    def edit(self, old: str, new: str) -> None:
        """Change the file of tasks."""
        text = self.tasks.read_text()
        assert old in text
        self.tasks.write_text(text.replace(old, new, 1))


def make_world(root: Path) -> World:
    """Make the assets and the file of tasks."""
    rng = np.random.default_rng(0)
    for split, rows in (("train", 80), ("test", 40)):
        labels = np.arange(rows) % 2
        table = pd.DataFrame({"text": sentences(rng, labels), "label": labels})
        if split == "train":
            table.loc[len(table)] = ["  ", 0]  # a blank row, to be dropped and counted
        write_table(root / "assets", "toy/mood", split, table)
    for split, rows in (("train", 90), ("test", 42)):
        labels = np.arange(rows) % 3
        columns = {"first": sentences(rng, labels), "second": sentences(rng, labels)}
        write_table(root / "assets", "toy/pair", split, pd.DataFrame({**columns, "label": labels}))
    write_model(root / "assets" / "models" / "toy" / "tiny-bert")
    (root / "tasks.toml").write_text(TASKS)
    return World(root / "assets", root / "tasks.toml")
