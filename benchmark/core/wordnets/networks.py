"""The two networks of DaLLME's appendix A: what turns word vectors into features of a text.

Both end in dropout and a linear layer, which `training` applies to all runs at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn.functional import conv2d, embedding, max_pool2d

from benchmark.core.wordnets.stack import Shape

Dropout = Callable[[torch.Tensor], torch.Tensor]
LAST_LAYER = ("last", "last-bias")


@dataclass(frozen=True)
class Batch:
    """Padded texts: word vectors (rows, width, dimension) and numbers of words (rows,)."""

    vectors: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(cls, ids: torch.Tensor, lengths: torch.Tensor, table: torch.Tensor) -> Batch:
        """Look the words up."""
        return cls(embedding(ids, table), lengths)

    @cached_property
    def is_even(self) -> bool:
        """Whether no text is padded."""
        return bool((self.lengths == self.vectors.shape[1]).all())

    @cached_property
    def reversal(self) -> torch.Tensor:
        """Places (rows, width) that turn each text round and leave its padding at the end."""
        place = torch.arange(self.vectors.shape[1])
        mirrored = self.lengths[:, None] - 1 - place
        return torch.where(mirrored >= 0, mirrored, place)

    @cached_property
    def reversed(self) -> torch.Tensor:
        """The vectors of each text from its last word to its first."""
        return turned(self.vectors, self.reversal)

    def last(self, states: torch.Tensor) -> torch.Tensor:
        """Pick the state (rows, features) at the last word of each text."""
        return states[torch.arange(len(states)), self.lengths - 1]


def turned(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Reorder each row's positions; undoes itself."""
    return x.gather(1, places[:, :, None].expand(-1, -1, x.shape[2]))


class Network(ABC):
    """Features of texts by the weights of one run."""

    shortest: int = 1  # positions of a batch at least
    recurrent: bool = False  # whether its fast kernel lacks a second derivative

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of features of a text."""

    @abstractmethod
    def shapes(self, dimension: int) -> dict[str, Shape]:
        """Weights on word vectors of `dimension`, without those of the last layer."""

    @abstractmethod
    def features(
        self, weights: Mapping[str, torch.Tensor], batch: Batch, dropout: Dropout
    ) -> torch.Tensor:
        """Compute features (rows, width) before the last dropout; padding changes nothing."""

    @abstractmethod
    def kept(self, positions: int) -> int:
        """Floats that training keeps of a batch of so many positions, roughly."""

    def all_shapes(self, dimension: int, classes: int) -> dict[str, Shape]:
        """All weights: those of `shapes` and the last layer's."""
        bound = self.width**-0.5
        last = (Shape((self.width, classes), bound), Shape((1, classes), bound))
        return {**self.shapes(dimension), **dict(zip(LAST_LAYER, last, strict=True))}


@dataclass(frozen=True)
class Convolutions(Network):
    """Kim's network: filters over windows of words, rectified, their greatest value in the text."""

    filters: int
    widths: tuple[int, ...]

    @property
    def shortest(self) -> int:  # type: ignore[override]
        """Every filter fits: shorter texts are padded with zero vectors."""
        return max(self.widths)

    @property
    def width(self) -> int:
        return self.filters * len(self.widths)

    def shapes(self, dimension: int) -> dict[str, Shape]:
        shapes = {}
        for width in self.widths:
            bound = (width * dimension) ** -0.5
            shapes[f"filters{width}"] = Shape((self.filters, width, dimension), bound)
            shapes[f"bias{width}"] = Shape((self.filters,), bound)
        return shapes

    def features(
        self, weights: Mapping[str, torch.Tensor], batch: Batch, dropout: Dropout
    ) -> torch.Tensor:
        # Channels-last, as the vectors lie in memory, is the layout that the kernels like best.
        image = batch.vectors.unsqueeze(1).permute(0, 3, 1, 2)
        positions = batch.vectors.shape[1]
        pooled = []
        for width in self.widths:
            filters = weights[f"filters{width}"].unsqueeze(1).permute(0, 3, 1, 2)
            windows = conv2d(image, filters, weights[f"bias{width}"])
            if not batch.is_even:
                ends = batch.lengths.clamp(min=self.shortest)[:, None] - width
                beyond = torch.arange(positions - width + 1) > ends
                penalty = torch.zeros(beyond.shape).masked_fill_(beyond, -torch.inf)
                windows = windows + penalty[:, None, None, :]
            pooled.append(max_pool2d(windows, (1, windows.shape[3])).flatten(1))
        return torch.cat(pooled, dim=1).relu()  # the greatest of rectified values is the same

    def kept(self, positions: int) -> int:
        return 2 * positions * self.width


@dataclass(frozen=True)
class Recurrence(Network):
    """A bidirectional LSTM: its last layer's state after the last word in either direction.

    Each direction reads texts that start at the first position, so padding comes after the state
    that is taken. Padded rows need no packing then, and the fast kernel, which has none, serves.
    """

    hidden: int
    layers: int
    recurrent = True

    @property
    def width(self) -> int:
        return 2 * self.hidden

    def shapes(self, dimension: int) -> dict[str, Shape]:
        shapes = {}
        gates, bound = 4 * self.hidden, self.hidden**-0.5
        for layer in range(self.layers):
            inputs = 2 * self.hidden if layer else dimension
            for way in ("forward", "backward"):
                shapes[f"input{layer}{way}"] = Shape((gates, inputs), bound)
                shapes[f"state{layer}{way}"] = Shape((gates, self.hidden), bound)
                shapes[f"input-bias{layer}{way}"] = Shape((gates,), bound)
                shapes[f"state-bias{layer}{way}"] = Shape((gates,), bound)
        return shapes

    def features(
        self, weights: Mapping[str, torch.Tensor], batch: Batch, dropout: Dropout
    ) -> torch.Tensor:
        ahead, back = self._layer(0, weights, batch.vectors, batch.reversed)
        for layer in range(1, self.layers):
            both = dropout(torch.cat((ahead, turned(back, batch.reversal)), dim=2))
            ahead, back = self._layer(layer, weights, both, turned(both, batch.reversal))
        return torch.cat((batch.last(ahead), batch.last(back)), dim=1)

    def _layer(
        self,
        layer: int,
        weights: Mapping[str, torch.Tensor],
        forward: torch.Tensor,
        backward: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """States of both directions, each in the order in which it reads."""
        return (
            self._states(weights, f"{layer}forward", forward),
            self._states(weights, f"{layer}backward", backward),
        )

    def _states(
        self, weights: Mapping[str, torch.Tensor], name: str, x: torch.Tensor
    ) -> torch.Tensor:
        parts = ("input", "state", "input-bias", "state-bias")
        start = x.new_zeros(1, len(x), self.hidden)
        return torch.lstm(
            x,
            (start, start),
            [weights[part + name] for part in parts],
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=torch.is_grad_enabled(),
            bidirectional=False,
            batch_first=True,
        )[0]

    def kept(self, positions: int) -> int:
        return 12 * positions * self.hidden * self.layers
