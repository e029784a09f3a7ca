"""A tiny BERT and a tiny GPT-2 that know words, for what needs a pretrained model."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmark.core.assets import quiet_transformers
from benchmark.core.seeding import isolated_torch_rng, numpy_generator, seed_of

LINE_BREAK, LIKELY = "\n", 4.0
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@functools.cache
def toy_model(words: Sequence[str]) -> Path:
    """Return a folder with a BERT of 2 layers, 16 wide, that knows `words`; gone at exit."""
    from transformers import BertConfig, BertModel

    folder = Path(tempfile.mkdtemp(prefix="toy-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tokenizer = _tokenizer(words)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
    )
    with isolated_torch_rng(seed_of("toy-model")), quiet_transformers():
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@functools.cache
def toy_causal_lm(words: Sequence[str]) -> Path:
    """Return a folder with a GPT-2 of 2 layers, 16 wide, that knows `words`; gone at exit.

    Its weights are far from their small start, so that it has preferences. If a line break is one
    of the words, it ends a line every few words.
    """
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = Path(tempfile.mkdtemp(prefix="toy-causal-lm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    known = {w: i for i, w in enumerate(dict.fromkeys(("[EOS]", "[UNK]", *words)))}
    core = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="[EOS]", unk_token="[UNK]", model_max_length=128
    )
    config = GPT2Config(
        vocab_size=len(known), n_positions=128, n_embd=16, n_layer=2, n_head=2, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    with isolated_torch_rng(seed_of("toy-causal-lm")), quiet_transformers(), torch.no_grad():
        model = GPT2LMHeadModel(config)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        if LINE_BREAK in known:  # the first hidden unit is always 1, and it alone is read
            body = model.transformer
            body.ln_f.weight[0], body.ln_f.bias[0] = 0.0, 1.0
            body.wte.weight[known[LINE_BREAK]] = 0.0
            body.wte.weight[known[LINE_BREAK], 0] = LIKELY
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@functools.cache
def toy_vectors(words: Sequence[str]) -> Path:
    """Return a folder with word vectors of 8 dimensions, as GloVe's text files are."""
    folder = Path(tempfile.mkdtemp(prefix="toy-vectors-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    rng = numpy_generator(seed_of("toy-vectors"))
    lines = [" ".join([word, *(f"{x:.4f}" for x in rng.normal(size=8))]) for word in words]
    (folder / "glove.txt").write_text("\n".join(lines) + "\n")
    return folder


def _tokenizer(words: Sequence[str]):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
