"""Attention within the rows of a packed batch, one padded block per bucket."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import scaled_dot_product_attention

from benchmark.core.finetune.packing import Bucket


def attend(
    packed: torch.Tensor,
    first: torch.Tensor | None,
    buckets: Sequence[Bucket],
    heads: int,
    biases: Sequence[torch.Tensor | None],
    masks: Sequence[torch.Tensor | None] | None,
) -> torch.Tensor:
    """Attend within each row of a batch.

    Parameters
    ----------
    packed : queries, keys and values of all tokens side by side; or keys and values only.
    first : then the queries, of the rows' first tokens.
    biases : for each bucket, what is added to the scores, broadcast over (rows, heads, queries,
        keys), or None.
    masks : for each bucket, the scaled dropout mask of the weights, or None; None to evaluate.

    Returns one vector per token, or per row where `first` is given. Tokens of no bucket get 0.
    """
    if masks is not None:
        return _Attention.apply(packed, first, buckets, heads, masks, *biases)
    result = _result(packed, first)
    for bucket, bias in zip(buckets, biases, strict=True):
        q, k, v = _heads(packed, first, bucket, heads, packed.dtype)
        out = scaled_dot_product_attention(q, k, v, None if bias is None else bias.to(q.dtype))
        _write(result, out, first, bucket)
    return result


def _result(packed: torch.Tensor, first: torch.Tensor | None) -> torch.Tensor:
    if first is None:
        return packed.new_zeros(len(packed), packed.shape[1] // 3)
    return packed.new_zeros(first.shape)


def _heads(packed, first, bucket: Bucket, heads: int, kind: torch.dtype):
    """Queries, keys and values as (rows, heads, tokens, depth), each contiguous."""
    x = _take(packed, bucket.tokens if bucket.gather is None else bucket.gather)
    x = x if bucket.spread is None else _take(x, bucket.spread)
    n = 3 if first is None else 2
    x = x.view(bucket.count, bucket.width, n, heads, -1).permute(2, 0, 3, 1, 4)
    parts = torch.empty(x.shape, dtype=kind, device=x.device).copy_(x).unbind(0)
    if first is None:
        return parts
    asking = _take(first, bucket.rows)
    return (asking.view(bucket.count, heads, 1, -1).to(kind), *parts)


def _write(result: torch.Tensor, out: torch.Tensor, first, bucket: Bucket) -> None:
    """Put (rows, heads, tokens, depth) back as one vector per token, or per row."""
    out = out.transpose(1, 2).to(result.dtype, memory_format=torch.contiguous_format)
    if first is not None:
        _put(result, bucket.rows, out.reshape(bucket.count, -1))
        return
    out = out.reshape(bucket.count * bucket.width, -1)
    _put(result, bucket.tokens, out if bucket.collect is None else _take(out, bucket.collect))


def _take(x: torch.Tensor, at: slice | torch.Tensor) -> torch.Tensor:
    return x[at] if isinstance(at, slice) else x.index_select(0, at)


def _put(x: torch.Tensor, at: slice | torch.Tensor, values: torch.Tensor) -> None:
    if isinstance(at, slice):
        x[at] = values
    else:
        x.index_copy_(0, at, values)


class _Attention(torch.autograd.Function):
    """With dropout, computed in float32, as the library's does inside autocast on a CPU."""

    @staticmethod
    def forward(ctx, packed, first, buckets, heads, masks, *biases):
        result = _result(packed, first)
        saved = []
        for bucket, mask, bias in zip(buckets, masks, biases, strict=True):
            parts = _heads(packed, first, bucket, heads, torch.float32)
            q, k, v = (x.flatten(0, 1) for x in parts)
            scores = torch.bmm(q, k.transpose(1, 2)).mul_(q.shape[-1] ** -0.5)
            scores = scores.view(bucket.count, heads, -1, bucket.width)
            if bias is not None:
                scores += bias
            weights = torch.softmax(scores, -1)
            kept = (weights if mask is None else weights * mask).flatten(0, 1)
            out = torch.bmm(kept, v).view(bucket.count, heads, -1, v.shape[-1])
            _write(result, out, first, bucket)
            saved += [q, k, v, weights, kept]
        ctx.save_for_backward(*saved)
        ctx.rest = (packed.shape, first, buckets, heads, masks, biases)
        return result

    @staticmethod
    def backward(ctx, gradient):
        shape, first, buckets, heads, masks, biases = ctx.rest
        saved = ctx.saved_tensors
        d_packed = gradient.new_zeros(shape)
        d_first = None if first is None else gradient.new_zeros(first.shape)
        d_biases: list[torch.Tensor | None] = []
        for i, (bucket, mask, bias) in enumerate(zip(buckets, masks, biases, strict=True)):
            q, k, v, weights, kept = saved[5 * i : 5 * i + 5]
            out = _spread(gradient, first, bucket, heads)
            parts = torch.empty(2 if first is not None else 3, *k.shape, device=k.device)
            torch.bmm(kept.transpose(1, 2), out, out=parts[-1])
            d_weights = torch.bmm(out, v.transpose(1, 2)).view(weights.shape)
            if mask is not None:
                d_weights *= mask
            d_scores = torch._softmax_backward_data(d_weights, weights, -1, torch.float32)
            flat, scale = d_scores.flatten(0, 1), q.shape[-1] ** -0.5
            torch.bmm(flat.transpose(1, 2), q, out=parts[-2]).mul_(scale)
            d_query = torch.bmm(flat, k).mul_(scale)
            if d_first is None:
                parts[0] = d_query
            else:
                _put(d_first, bucket.rows, d_query.reshape(bucket.count, -1).to(gradient.dtype))
            part = parts.view(len(parts), bucket.count, heads, bucket.width, -1)
            part = part.permute(1, 3, 0, 2, 4)
            part = part.to(gradient.dtype, memory_format=torch.contiguous_format)
            part = part.reshape(bucket.count * bucket.width, -1)
            _put(
                d_packed,
                bucket.tokens,
                part if bucket.collect is None else _take(part, bucket.collect),
            )
            wanted = bias is not None and ctx.needs_input_grad[5 + i]
            d_biases.append(d_scores.sum_to_size(bias.shape) if wanted else None)
        return d_packed, d_first, None, None, None, *d_biases


def _spread(gradient: torch.Tensor, first, bucket: Bucket, heads: int) -> torch.Tensor:
    """The bucket's part of the gradient as (rows x heads, tokens, depth), 0 on padding."""
    part = _take(gradient, bucket.tokens if first is None else bucket.rows)
    if first is None and bucket.collect is not None:
        padded = part.new_zeros(bucket.count * bucket.width, part.shape[1])
        part = padded.index_copy_(0, bucket.collect, part)
    part = part.view(bucket.count, -1, heads, part.shape[1] // heads).transpose(1, 2)
    return part.to(torch.float32, memory_format=torch.contiguous_format).flatten(0, 1)
