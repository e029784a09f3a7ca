"""Last-layer gradients and their cosine, without a backward pass through the learner.

The gradient of a row's cross-entropy for the last linear layer is e (x) [h; 1]: e = softmax(z) - y
is the error of its logits z, h the layer's input. So everything that gradient matching needs is a
product of the two, and the derivative by the rows' weights is closed too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

TINY = 1e-30  # a length below it is none


@dataclass(frozen=True)
class LastLayer:
    """Rows as the last layer sees them.

    Attributes
    ----------
    inputs : what the layer reads, with a 1 appended for its bias, float32, shape (n, d + 1).
    errors : softmax of the logits minus the one-hot label, float32, shape (n, C).
    """

    inputs: torch.Tensor
    errors: torch.Tensor

    @classmethod
    def of(cls, features: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> LastLayer:
        """Make it from the layer's inputs (n, d), its outputs (n, C) and class indices (n,)."""
        one_hot = torch.zeros_like(logits, dtype=torch.float32)
        one_hot[torch.arange(len(labels), device=logits.device), labels.to(logits.device)] = 1.0
        errors = logits.float().softmax(1) - one_hot
        ones = torch.ones(len(features), 1, device=features.device)
        return cls(torch.cat([features.float(), ones], 1), errors)

    def gradient(self, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Gradient of the weighted sum (by default the mean) of the rows' losses, (C, d + 1)."""
        if weights is None:
            return self.errors.T @ self.inputs / len(self.inputs)
        return self.errors.T @ (weights[:, None] * self.inputs)

    def project(self, gradient: torch.Tensor) -> torch.Tensor:
        """Inner product of each row's gradient with `gradient`, shape (n,)."""
        return ((self.errors @ gradient) * self.inputs).sum(1)


@dataclass(frozen=True)
class Match:
    """Cosine of a real and a synthetic gradient, and its derivative by the rows' weights (n,)."""

    cosine: float
    by_weight: torch.Tensor


def match(real: torch.Tensor, rows: LastLayer, weights: torch.Tensor) -> Match:
    """Compare a real gradient (C, d + 1) with that of weighted synthetic rows: DiLM, eq. 3 to 5.

    A gradient of zero length has no direction: its cosine counts as 0 and moves nothing.
    """
    synthetic = rows.gradient(weights)
    lengths = real.norm() * synthetic.norm()
    if not float(lengths) > 0:
        return Match(0.0, torch.zeros_like(weights))
    cosine = (real * synthetic).sum() / lengths
    towards = real / lengths - cosine * synthetic / synthetic.norm() ** 2
    return Match(float(cosine), rows.project(towards))


def mean_cosine(real: torch.Tensor, rows: LastLayer) -> torch.Tensor:
    """Cosine of a real gradient (C, d + 1) and that of the rows' mean loss, differentiable.

    The length of the mean comes from the Gram matrix of the rows, (e_i . e_j)(h_i . h_j), so that
    nothing of the size of the layer is made; a language model's has a row for every token. A
    gradient of zero length has no direction: its cosine is 0.
    """
    towards = rows.project(real).sum()
    gram = (rows.errors @ rows.errors.T) * (rows.inputs @ rows.inputs.T)
    lengths = gram.sum().clamp(min=TINY).sqrt() * real.norm().clamp(min=TINY)
    return towards / lengths


def row_cosines(real: torch.Tensor, rows: LastLayer, group: int = 1) -> torch.Tensor:
    """Cosine of a real gradient with that of each example, shape (n,).

    An example is `group` successive rows of the last layer, one for each token that it predicts.
    """
    inputs = rows.inputs.view(-1, group, rows.inputs.shape[1])
    errors = rows.errors.view(-1, group, rows.errors.shape[1])
    gram = (errors @ errors.transpose(1, 2)) * (inputs @ inputs.transpose(1, 2))
    lengths = gram.sum((1, 2)).clamp(min=TINY).sqrt() * real.norm().clamp(min=TINY)
    return rows.project(real).view(-1, group).sum(1) / lengths


def row_weights(nll: torch.Tensor, tokens: torch.Tensor, kind: str) -> torch.Tensor:
    """Weights a = softmax(-l) of synthetic rows, from the likelihoods of their texts.

    `kind` says what l is: `paper`, the negative log-likelihood itself, so that a = p / sum p
    (eq. 5; close to one row alone, as texts differ by orders of magnitude); `padded`, the same
    divided by the tokens of the batch's longest row, rounded up to 8, less one (what the released
    code computes); `token-mean`, divided by the row's own number of tokens.
    """
    return torch.softmax(-nll / scale(tokens, kind), 0)


def scale(tokens: torch.Tensor, kind: str) -> torch.Tensor:
    """What a row's negative log-likelihood is divided by; `tokens` are predicted ones."""
    if kind == "paper":
        return torch.ones_like(tokens, dtype=torch.float32)
    if kind == "padded":
        longest = int(tokens.max()) + 1
        return torch.full_like(tokens, -(-longest // 8) * 8 - 1, dtype=torch.float32)
    if kind == "token-mean":
        return tokens.float()
    raise ValueError(f"{kind!r} is none of paper, padded, token-mean")


def by_likelihood(
    by_weight: torch.Tensor, weights: torch.Tensor, tokens: torch.Tensor, kind: str
) -> torch.Tensor:
    """Chain a derivative by the weights through the softmax: the derivative by each row's nll."""
    centred = by_weight - (weights * by_weight).sum()
    return -weights * centred / scale(tokens, kind)
