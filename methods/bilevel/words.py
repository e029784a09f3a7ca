"""The nearest word of an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmark.core.finetune.embedded import EmbeddedClassifier
from benchmark.core.finetune.pretrained import held


def nearest_words(
    folder: Path, embeddings: np.ndarray, columns: Sequence[str], search: str
) -> tuple[dict[str, list[str]], float]:
    """Turn rows of embeddings (n, length, d) into texts.

    `search` is `l2` or `cosine`. Returns the text columns, and how far the words are from the
    embeddings on average: a relative error |word - x| / |x|, or 1 - cosine.
    """
    pretrained = held(folder, 2)
    tokenizer = pretrained.tokenizer
    table = pretrained.weights[EmbeddedClassifier(pretrained.model).table]
    allowed = torch.from_numpy(readable(tokenizer, len(table)))
    ids, error = _nearest(table[allowed], torch.from_numpy(embeddings.copy()), search)
    ids = allowed[ids].numpy()
    pieces = np.array_split(ids, len(columns), axis=1)
    texts = {
        name: [tokenizer.decode(row, clean_up_tokenization_spaces=True) for row in part]
        for name, part in zip(columns, pieces, strict=True)
    }
    return texts, error


def readable(tokenizer: object, size: int) -> np.ndarray:
    """Ids that stand for words: neither special nor placeholders, and not blank by themselves."""
    special = set(tokenizer.all_special_ids)  # type: ignore[attr-defined]
    tokens = tokenizer.convert_ids_to_tokens(list(range(size)))  # type: ignore[attr-defined]
    kept = [
        i
        for i, token in enumerate(tokens)
        if i not in special
        and token is not None
        and not token.startswith("[unused")
        and tokenizer.decode([i]).strip()  # type: ignore[attr-defined]
    ]
    return np.array(kept, dtype=np.int64)


def _nearest(table: torch.Tensor, x: torch.Tensor, search: str) -> tuple[torch.Tensor, float]:
    flat = x.reshape(-1, x.shape[-1]).to(table.dtype)
    if search == "cosine":
        unit = torch.nn.functional.normalize(flat, dim=1)
        cosine, ids = (unit @ torch.nn.functional.normalize(table, dim=1).T).max(1)
        return ids.view(x.shape[:-1]), float((1 - cosine).mean())
    distance, ids = torch.cdist(flat, table).min(1)
    return ids.view(x.shape[:-1]), float((distance / flat.norm(dim=1)).mean())
