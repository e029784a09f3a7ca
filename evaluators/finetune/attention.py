"""Attention within the rows of a packed batch, one padded block per bucket."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from evaluators.finetune.packing import Bucket


def attend(
    packed: torch.Tensor,
    first: torch.Tensor | None,
    bucket: Bucket,
    heads: int,
    bias: torch.Tensor | None,
    mask: torch.Tensor | None,
    training: bool,
) -> torch.Tensor:
    """Attend within each row of a bucket.

    Parameters
    ----------
    packed : queries, keys and values of the bucket's tokens side by side; or keys and values only.
    first : then the queries, of the rows' first tokens.
    bias : added to the scores, broadcast over (rows, heads, queries, keys).
    mask : scaled dropout mask of the weights, or None.

    Returns one vector per token, or per row where `first` is given.
    """
    if training:
        return _Attention.apply(packed, first, bucket, heads, bias, mask)
    q, k, v = _heads(packed, first, bucket, heads, packed.dtype)
    out = scaled_dot_product_attention(q, k, v, None if bias is None else bias.to(q.dtype))
    return _tokens(out, first, bucket, packed.dtype)


def _heads(packed, first, bucket: Bucket, heads: int, kind: torch.dtype):
    """Queries, keys and values as (rows, heads, tokens, depth), each contiguous."""
    x = packed if bucket.spread is None else packed.index_select(0, bucket.spread)
    n = 3 if first is None else 2
    x = x.view(bucket.count, bucket.width, n, heads, -1).permute(2, 0, 3, 1, 4)
    parts = torch.empty(x.shape, dtype=kind, device=x.device).copy_(x).unbind(0)
    if first is None:
        return parts
    return (first.view(bucket.count, heads, 1, -1).to(kind), *parts)


def _tokens(out: torch.Tensor, first, bucket: Bucket, kind: torch.dtype) -> torch.Tensor:
    """Back from (rows, heads, tokens, depth) to one vector per token."""
    out = out.transpose(1, 2).to(kind, memory_format=torch.contiguous_format)
    out = out.reshape(bucket.count * (bucket.width if first is None else 1), -1)
    if first is None and bucket.collect is not None:
        out = out.index_select(0, bucket.collect)
    return out


class _Attention(torch.autograd.Function):
    """With dropout, computed in float32, as the library's does inside autocast on a CPU."""

    @staticmethod
    def forward(ctx, packed, first, bucket, heads, bias, mask):
        q, k, v = (x.flatten(0, 1) for x in _heads(packed, first, bucket, heads, torch.float32))
        scale = q.shape[-1] ** -0.5
        scores = torch.bmm(q, k.transpose(1, 2)).mul_(scale)
        scores = scores.view(bucket.count, heads, -1, bucket.width)
        if bias is not None:
            scores += bias
        weights = torch.softmax(scores, -1)
        kept = (weights if mask is None else weights * mask).flatten(0, 1)
        ctx.save_for_backward(q, k, v, weights, kept)
        ctx.rest = (bucket, first, mask, scale, packed.dtype, bias)
        out = torch.bmm(kept, v).view(bucket.count, heads, -1, v.shape[-1])
        return _tokens(out, first, bucket, packed.dtype)

    @staticmethod
    def backward(ctx, gradient):
        q, k, v, weights, kept = ctx.saved_tensors
        bucket, first, mask, scale, kind, bias = ctx.rest
        heads, depth = weights.shape[1], q.shape[-1]
        if first is None and bucket.collect is not None:
            spread = gradient.new_zeros(bucket.count * bucket.width, gradient.shape[1])
            gradient = spread.index_copy_(0, bucket.collect, gradient)
        gradient = gradient.view(bucket.count, -1, heads, depth).transpose(1, 2)
        gradient = gradient.to(torch.float32, memory_format=torch.contiguous_format).flatten(0, 1)
        parts = torch.empty(2 if first is not None else 3, *k.shape, device=k.device)
        torch.bmm(kept.transpose(1, 2), gradient, out=parts[-1])
        d_weights = torch.bmm(gradient, v.transpose(1, 2)).view(weights.shape)
        if mask is not None:
            d_weights *= mask
        d_scores = torch._softmax_backward_data(d_weights, weights, -1, torch.float32)
        flat = d_scores.flatten(0, 1)
        torch.bmm(flat.transpose(1, 2), q, out=parts[-2]).mul_(scale)
        d_query = torch.bmm(flat, k).mul_(scale)
        d_first = None
        if first is None:
            parts[0] = d_query
        else:
            d_first = d_query.view(bucket.count, -1).to(kind)
        d_packed = parts.view(len(parts), bucket.count, heads, bucket.width, depth)
        d_packed = d_packed.permute(1, 3, 0, 2, 4).to(kind, memory_format=torch.contiguous_format)
        d_packed = d_packed.reshape(bucket.count * bucket.width, -1)
        if bucket.collect is not None:
            d_packed = d_packed.index_select(0, bucket.collect)
        d_bias = None
        if bias is not None and ctx.needs_input_grad[4]:
            d_bias = d_scores.sum_to_size(bias.shape)
        return d_packed, d_first, None, None, d_bias, None
