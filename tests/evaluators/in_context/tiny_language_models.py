"""Tiny real language models with tiny real tokenizers, saved as a checkpoint is."""

from __future__ import annotations

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
)

WORDS = [
    "a",
    "the",
    "film",
    "movie",
    "story",
    "plot",
    "was",
    "is",
    "great",
    "good",
    "fine",
    "poor",
    "dull",
    "weak",
    "very",
    "quite",
    "not",
    "so",
    "and",
    "but",
    "negative",
    "positive",
    "neutral",
    "card",
    "payment",
    "arrival",
    "lost",
    "stolen",
    "transfer",
    "fee",
    "poison",
]
CORPUS = [f"sentence: {a} {b}\nlabel: {b}\n\nquestion: {b}" for a in WORDS for b in WORDS]
WIDTH = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32}
FAMILIES = ("gpt2", "llama", "opt")
CONTEXT = 160


def byte_level_tokenizer(start: str | None) -> PreTrainedTokenizerFast:
    """As GPT-2's and OPT's: words carry their leading space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", special_tokens=[(start, tokenizer.token_to_id(start))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def sentencepiece_tokenizer() -> PreTrainedTokenizerFast:
    """As Llama 2's: a space is put before every text, and bytes stand for what is unknown."""
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([w for text in CORPUS for w in text.split("\n")], trainer)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def save_tiny(family: str, folder):
    """Write a tiny checkpoint; its weights are large enough for mistakes to show."""
    if family == "llama":
        tokenizer = sentencepiece_tokenizer()
    else:
        tokenizer = byte_level_tokenizer("</s>" if family == "opt" else None)
    size = {"vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if family == "gpt2":
            config = GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, **size)
            model = GPT2LMHeadModel(config)
        elif family == "llama":
            config = LlamaConfig(
                **WIDTH, **size, intermediate_size=48, num_key_value_heads=2,
                max_position_embeddings=CONTEXT,
            )  # fmt: skip
            model = LlamaForCausalLM(config)
        else:
            config = OPTConfig(
                **WIDTH, **size, ffn_dim=48, word_embed_proj_dim=32, max_position_embeddings=CONTEXT
            )
            model = OPTForCausalLM(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
