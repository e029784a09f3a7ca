"""A small generator made from nothing but the pool: BPE vocabulary of its own, four layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from benchmark.core.pool import Pool
from benchmark.core.seeding import isolated_torch_rng
from methods.language_models.foresight import TINY_CONTEXT as CONTEXT
from methods.language_models.generator import Generator, device, fitting
from methods.language_models.serialise import Serialiser

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCABULARY = 4_000
LAYERS, WIDTH, HEADS = 4, 256, 4
EOS = "<|endoftext|>"


def tiny_generator(pool: Pool, seed: int, max_length: int = 0, tokenizer: Any = None) -> Generator:
    """Make an untrained generator for `pool`: 4 layers, 256 wide, about 4 million weights.

    The vocabulary is byte-level BPE of at most 4,000 tokens, trained on the pool's texts alone. So
    a CPU does the whole job in minutes, and the sets owe nothing to text from elsewhere. With a
    `tokenizer`, which must have an end token, its vocabulary is taken instead.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    if tokenizer is None:
        bpe = train_bpe(pool, VOCABULARY, [EOS])
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=EOS)
    plain = Serialiser(tokenizer, 0, 0, len(tokenizer), 0)
    serialiser = fitting(plain, pool, CONTEXT, max_length)
    config = GPT2Config(
        vocab_size=serialiser.size,
        n_positions=serialiser.max_length,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        bos_token_id=serialiser.eos,
        eos_token_id=serialiser.eos,
    )
    with isolated_torch_rng(seed):
        model = GPT2LMHeadModel(config)
    return Generator(model.to(device()), serialiser)


def train_bpe(
    pool: Pool, size: int, special: Sequence[str], *, add_prefix_space: bool = False
) -> Tokenizer:
    """Train a byte-level BPE of at most `size` tokens on the pool's texts, a space before each."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator((f" {text}" for text in chain(*pool.texts().values())), trainer)
    return bpe
