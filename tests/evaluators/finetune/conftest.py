"""Tiny real models with tiny real tokenizers, saved to a folder as a checkpoint is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmark.core.distilled import DistilledSet

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers  # noqa: E402
from transformers import (  # noqa: E402
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    MPNetConfig,
    MPNetForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    XLNetConfig,
    XLNetLMHeadModel,
)

VOCABULARY = (
    "a the this that film movie story cast plot scene joke music ending was is feels looks "
    "great good fine warm funny moving bad poor dull flat weak boring and but very quite not so"
)
WORDS = VOCABULARY.split()
FAMILIES = ("bert", "roberta", "distilbert", "mpnet", "xlnet")
WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def random_sentences(n: int, rng, low: int = 2, high: int = 14) -> tuple[str, ...]:
    """Random word sequences of many lengths."""
    return tuple(" ".join(rng.choice(WORDS, rng.integers(low, high))) for _ in range(n))


def save_tiny(family: str, folder: Path) -> Path:
    """Write a tiny checkpoint of `family` (body and language-model head) to `folder`."""
    tokenizer = _tokenizer(family)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = _model(family, len(tokenizer))
        with torch.no_grad():  # far from the initial 0.02, so that mistakes show
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _model(family: str, size: int):
    ids = {"pad_token_id": 0 if family in ("bert", "distilbert") else 1}
    bert_like = {**WIDTH, **ids, "vocab_size": size, "intermediate_size": 48}
    if family == "bert":
        return BertForMaskedLM(BertConfig(**bert_like, max_position_embeddings=64))
    if family == "roberta":
        return RobertaForMaskedLM(
            RobertaConfig(**bert_like, max_position_embeddings=66, type_vocab_size=1)
        )
    if family == "mpnet":
        return MPNetForMaskedLM(MPNetConfig(**bert_like, max_position_embeddings=66))
    if family == "distilbert":
        return DistilBertForMaskedLM(
            DistilBertConfig(
                vocab_size=size, dim=32, n_layers=2, n_heads=4, hidden_dim=48,
                max_position_embeddings=64, pad_token_id=0,
            )
        )  # fmt: skip
    return XLNetLMHeadModel(
        XLNetConfig(vocab_size=size, d_model=32, n_layer=2, n_head=4, d_inner=48, pad_token_id=1)
    )


def _tokenizer(family: str) -> PreTrainedTokenizerFast:
    corpus = [" ".join(WORDS)] * 3
    if family in ("bert", "distilbert"):
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        pad, unk, cls, sep = special
        core = Tokenizer(models.WordPiece(unk_token=unk))
        core.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordPieceTrainer(vocab_size=150, special_tokens=special)
        single, pair = f"{cls} $A {sep}", f"{cls} $A {sep} $B:1 {sep}:1"
    elif family in ("roberta", "mpnet"):
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        cls, pad, sep, unk = special
        core = Tokenizer(models.BPE(unk_token=unk))
        core.pre_tokenizer = pre_tokenizers.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=special)
        single, pair = f"{cls} $A {sep}", f"{cls} $A {sep} {sep} $B {sep}"
    else:
        special = ["<unk>", "<pad>", "<sep>", "<cls>"]
        unk, pad, sep, cls = special
        core = Tokenizer(models.Unigram())
        core.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=100, special_tokens=special, unk_token=unk)
        single, pair = f"$A {sep} {cls}:2", f"$A {sep} $B:1 {sep}:1 {cls}:2"
    core.train_from_iterator(corpus, trainer)
    core.post_processor = processors.TemplateProcessing(
        single=single,
        pair=pair,
        special_tokens=[(token, core.token_to_id(token)) for token in (cls, sep)],
    )
    names = ["input_ids", "attention_mask"]
    if family in ("bert", "xlnet"):
        names.insert(1, "token_type_ids")
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=pad,
        unk_token=unk,
        cls_token=cls,
        sep_token=sep,
        padding_side="left" if family == "xlnet" else "right",
        model_input_names=names,
        model_max_length=64,
    )


def make_set(seed: int, n: int = 6, columns=("text",), soft: bool = False) -> DistilledSet:
    """A set of `n` random rows in two classes."""
    rng = np.random.default_rng(seed)
    return DistilledSet.of_texts(
        {name: random_sentences(n, rng) for name in columns},
        rng.dirichlet((1, 1), n).astype(np.float32) if soft else np.arange(n) % 2,
        ("bad", "good"),
    )


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """All tests here."""


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> dict[str, Path]:
    """Folders of tiny checkpoints by model family."""
    return {name: save_tiny(name, tmp_path_factory.mktemp(name)) for name in FAMILIES}


@pytest.fixture(scope="session")
def save_checkpoint():
    return save_tiny


@pytest.fixture(scope="session")
def sentences():
    return random_sentences


@pytest.fixture(scope="session")
def set_of():
    return make_set
