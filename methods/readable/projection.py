"""Projection of embeddings onto token sequences that a language model could have written."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch.nn.functional import normalize

Order = Literal["nearest-first", "likely-first"]
POSITIONS_AT_ONCE = 256


class Projector:
    """Reads rows token by token and takes, at each position, a token that is near and likely.

    `nearest-first` (the released code): of the `k` tokens nearest to the embedding by cosine, the
    one that the language model finds most likely after what was chosen so far. `likely-first` (the
    paper's text): of the `k` most likely tokens, the nearest one by Euclidean distance.

    Keys and values of what was read are kept, so that a new token costs one forward pass of one
    token; `forwards` counts passes.

    Parameters
    ----------
    model : a causal language model; ids below the table's size mean the same to it.
    table : embeddings of the tokens, shape (V, d).
    allowed : ids that may be chosen.
    first : those of them that may be the first of a text; all by default.
    """

    def __init__(
        self,
        model: Any,
        table: torch.Tensor,
        allowed: torch.Tensor,
        k: int,
        order: Order,
        first: torch.Tensor | None = None,
    ) -> None:
        self.model, self.table, self.k, self.order = model, table, k, order
        self.allowed = allowed.to(table.device)
        self.first = self.allowed if first is None else first.to(table.device)
        self.forwards = 0
        known = inspect.signature(model.forward).parameters
        # transformers 5.24 renamed the argument
        self._cache_argument = "cache" if "cache" in known else "past_key_values"

    @torch.no_grad()
    def project(
        self,
        free: Sequence[torch.Tensor],
        before: Sequence[int],
        between: Sequence[int] = (),
    ) -> list[torch.Tensor]:
        """Return ids (n, L) for each text's embeddings (n, L, d).

        `before` are tokens that the model has read before the first text, `between` those between
        two texts; `before` may not be empty.
        """
        from transformers import DynamicCache

        n = len(free[0])
        cache = DynamicCache(config=self.model.config)
        pending = [torch.tensor(before, device=self.table.device).expand(n, -1)]
        chosen: list[torch.Tensor] = []
        for place, x in enumerate(free):
            if place and len(between):
                pending.append(torch.tensor(list(between), device=x.device).expand(n, -1))
            near = self._nearest_of_all(x) if self.order == "nearest-first" else None
            ids = torch.empty(x.shape[:2], dtype=torch.long, device=x.device)
            for t in range(x.shape[1]):
                logits = self._read(torch.cat(pending, 1), cache)
                ids[:, t] = (
                    self._likely_near(logits, x[:, t], self.allowed if t else self.first)
                    if near is None
                    else near[t].gather(1, logits.gather(1, near[t]).argmax(1, True))[:, 0]
                )
                pending = [ids[:, t : t + 1]]
            chosen.append(ids)
        return chosen

    def _read(self, tokens: torch.Tensor, cache: Any) -> torch.Tensor:
        """Logits after the last of some new tokens, shape (n, V)."""
        self.forwards += 1
        given = {self._cache_argument: cache}
        logits = self.model(input_ids=tokens, use_cache=True, logits_to_keep=1, **given).logits
        return logits[:, -1].float()

    def _nearest_of_all(self, x: torch.Tensor) -> list[torch.Tensor]:
        """At each position the k tokens that are nearest, of those that may stand there."""
        later = self._nearest(x[:, 1:], self.allowed).unbind(1) if x.shape[1] > 1 else ()
        return [self._nearest(x[:, :1], self.first)[:, 0], *later]

    def _nearest(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The k of some ids with the largest cosine at each position, shape (n, L, k)."""
        k = min(self.k, len(ids))
        table = normalize(self.table[ids], dim=1)
        flat = normalize(x.reshape(-1, x.shape[-1]), dim=1)
        found = [(part @ table.T).topk(k, dim=1).indices for part in flat.split(POSITIONS_AT_ONCE)]
        return ids[torch.cat(found)].view(*x.shape[:2], k)

    def _likely_near(
        self, logits: torch.Tensor, x: torch.Tensor, ids: torch.Tensor
    ) -> torch.Tensor:
        likely = ids[logits[:, ids].topk(min(self.k, len(ids)), dim=1).indices]
        distance = (self.table[likely] - x[:, None]).norm(dim=2)
        return likely.gather(1, distance.argmin(1, True))[:, 0]
