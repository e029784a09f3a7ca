"""A tiny causal language model of the toy world's words."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from toy_world import FILLER
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast


def write_language_model(folder: Path) -> None:
    """A one-layer GPT-2 over bytes and a few words."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator([" ".join(FILLER), "text: label: intent bad good"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>")
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=128, n_embd=16, n_layer=1, n_head=2, n_inner=16
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
