"""An assets directory and a tiny real BERT, both made here."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.keys import sha256_file

VOCABULARY = "a the film movie plot was is good great fine bad poor dull and but very not so"
WORDS = VOCABULARY.split()
HUB = "tests/tiny-bert"


def vouch(root: Path) -> None:
    """Write the manifest of one half of an assets directory."""
    files = [path for path in root.rglob("*") if path.is_file() and path.name != "manifest.json"]
    manifest = {path.relative_to(root).as_posix(): {"sha256": sha256_file(path)} for path in files}
    (root / "manifest.json").write_text(json.dumps(manifest))


def save_tiny_bert(folder: Path) -> None:
    """A BERT of two layers, far from its initial weights, and a word-piece tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: i for i, word in enumerate([*special, "query", ":", *WORDS])}
    core = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
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
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = BertModel(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """All tests here."""


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> Path:
    """Folder of a tiny BERT."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    save_tiny_bert(folder)
    return folder


@pytest.fixture
def write_assets(tmp_path):
    """Make an assets directory from `{"repo/config/split": columns}`; returns its path."""

    def write(tables: dict[str, dict], model: Path | None = None) -> Path:
        root = tmp_path / "assets"
        for name, columns in tables.items():
            path = root / "datasets" / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(columns).to_parquet(path, index=False)
        if tables:
            vouch(root / "datasets")
        if model is not None:
            folder = root / "models" / HUB
            folder.mkdir(parents=True)
            for path in model.iterdir():
                (folder / path.name).write_bytes(path.read_bytes())
            vouch(root / "models")
        return root

    return write
