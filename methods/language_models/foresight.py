"""What can be told of a generator before any work, from its `config.json` alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SHORTEST_ROW = 8
"""Tokens below which a row has no room for new text beside those of its class and its end."""
TINY_CONTEXT = 512
"""Positions of the generator that is trained from scratch."""
CAUSAL = ("ForCausalLM", "LMHeadModel")


def objection(generator: str, folder: Path | None, max_length: int) -> str:
    """Say why a model cannot generate rows of at most `max_length` tokens (0: any), "" if it can.

    `folder` is the model's, None if it is not at hand; what its files do not say is not judged.
    """
    if 0 < max_length < SHORTEST_ROW:
        return f"max_length is {max_length}, which leaves no room for text: {SHORTEST_ROW} or more"
    if generator == "tiny":
        context: int | None = TINY_CONTEXT
    else:
        config = _config(folder)
        known = [str(name) for name in config.get("architectures") or ()]
        if known and not any(name.endswith(CAUSAL) for name in known):
            return f"{generator} is a {known[0]}, no causal language model: it cannot generate"
        context = config.get("max_position_embeddings") or config.get("n_positions")
    if context is not None and max_length > context:
        return f"max_length is {max_length}, and {generator} reads at most {context} tokens"
    return ""


def _config(folder: Path | None) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8")) if folder else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
