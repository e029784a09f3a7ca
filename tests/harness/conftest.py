"""A tiny world: two tasks, a tiny BERT, a plug-in package; and the command line, in two ways."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.core.keys import sha256_file
from benchmark.core.learner import LEARNERS
from benchmark.core.method import METHODS
from benchmark.frame import rows_frame
from benchmark.store import Store

# Tiny matrices gain nothing from threads and lose much where tests share the cores.
os.environ["OMP_NUM_THREADS"] = "1"
PLUGIN = Path(__file__).parent / "plugin"
WORDS = {
    0: "bad poor dull flat weak boring".split(),
    1: "great good fine warm funny moving".split(),
    2: "film movie story cast plot scene".split(),
}
FILLER = "the a this that was is feels very quite and but of".split()
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
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    corpus = [" ".join([*FILLER, *(word for words in WORDS.values() for word in words)])]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special)
    core.train_from_iterator(corpus, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        model_max_length=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = BertModel(
            BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=48,
                max_position_embeddings=64,
            )
        )
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


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
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


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line that says what was wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


class NoMirror:
    """Stands for MLflow where a test is not about it."""

    failure = ""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> NoMirror:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discover the toy plug-in, and forget it and the toy learners afterwards."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    for registry in (METHODS, LEARNERS):
        registry.names()
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        monkeypatch.setattr(registry, "_discovered", False)


@pytest.fixture
def cli(
    registries: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> Callable[..., Result]:
    """Run the command line in this process, without MLflow."""
    from benchmark.cli import main, run_verb, score_verb

    for verb in (run_verb, score_verb):
        monkeypatch.setattr(verb, "BackgroundMirror", NoMirror)

    def call(*args: str | Path) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, args)])
        code: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        assert isinstance(code or 0, int)
        return Result(int(code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Environment of processes: the plug-in is on the path, nothing is sent elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "BENCHMARK"))}
    path = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
    return {**kept, "PYTHONPATH": path, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@pytest.fixture
def process(environment: dict[str, str]) -> Callable[..., Result]:
    """Run the command line as a process of its own, with MLflow."""

    def call(*args: str | Path, **more: str) -> Result:
        command = [sys.executable, "-m", "benchmark", *map(str, args)]
        ended = subprocess.run(
            command, env={**environment, **more}, capture_output=True, text=True, timeout=120
        )
        return Result(ended.returncode, ended.stdout, ended.stderr)

    return call


def read_rows(store: Path, suite: str = "toy") -> pd.DataFrame:
    """Rows of a store as the leaderboard reads them, less what no two runs share (times)."""
    opened = Store(store, create=False)
    frame = rows_frame(opened, suite)
    opened.close()
    identity = ["task", "method", "params", "dpc", "learner", "set_index", "seed_index"]
    results = ["status", "score", "accuracy", "macro_f1", "set_key", "set_hash", "run_key"]
    facts = ["set_rows", "copies", "planned_sets", "planned_seeds"]
    return frame[identity + results + facts].sort_values(identity).reset_index(drop=True)


@pytest.fixture(scope="session")
def rows_in() -> Callable[..., pd.DataFrame]:
    return read_rows


@pytest.fixture(scope="session")
def table_writer() -> Callable[..., None]:
    return write_table


@pytest.fixture(scope="session")
def finished(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which suite `toy` is done. Copy it before writing to it."""
    from benchmark.core.library import Library, LibraryConfig
    from benchmark.executors import Limits, choose_local
    from benchmark.plan import Options, make_plan
    from benchmark.runner import Runner

    class Silent:
        def stage(self, words: str, total: int) -> None: ...
        def advance(self, steps: int = 1) -> None: ...
        def note(self, words: str) -> None: ...

    root = tmp_path_factory.mktemp("finished") / "store"
    config = LibraryConfig(root, world.assets, True, (world.tasks,))
    LEARNERS.names()
    entries = dict(LEARNERS._entries)
    library = Library(config)
    store = Store(root)
    runner = Runner(store, choose_local(config, library, 1, Limits()), Silent())
    summary = runner.run(make_plan(Options("toy"), library))
    store.close()
    LEARNERS._entries = entries
    assert summary.exit_code(allow_partial=False) == 0
    return root


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished store."""
    return Path(shutil.copytree(finished, tmp_path / "store"))


@pytest.fixture(scope="session")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's empty database, which takes it long to make."""
    from benchmark.tracking import Mirror, tracking_uri

    root = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        Mirror(Store(root), tracking_uri(root))
    return root / "mlflow.db"
