"""Attention on CPUs: matrix products where they beat the fused kernel, the fused kernel elsewhere."""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "llara_cpu"
LONGEST_PRODUCT = 1024
"""Longest sequence whose [T, T] scores are held in memory at once."""
_BLOCK = 64


def cpu_attention(  # noqa: PLR0917 - the order in which transformers calls
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,  # noqa: ANN401
) -> tuple[Tensor, None]:
    """Scaled dot-product attention in the form that `transformers` calls.

    Source:
        The fused CPU kernel of torch 2.13 computes bfloat16 at the speed of float32. Causal attention by products of
        blocks takes a third of its time there, and two thirds of forward and backward in float32; with a mask, two
        products and a softmax take half its time in bfloat16 (docs/experiments.md). Where none of that holds (other
        devices, long or single-token queries, dropout, float32 without gradients), the call goes to `sdpa` unchanged.

    Args:
        module: The attention layer; its `is_causal` counts where the argument is None.
        query: [B, H, T, d].
        key: [B, K, S, d]; K divides H.
        value: [B, K, S, d].
        attention_mask: Additive or boolean (True: visible), [B, 1, T, S]; None: causal, if the layer is, where the last
            query sees all keys. With fewer queries than T, it is about the last ones (an answer tree's), and those
            before are causal.
        dropout: Share of attention weights dropped.
        scaling: Factor of the scores; None: d ** -0.5.
        is_causal: Whether None as a mask means causal.
        kwargs: What else the caller gives; passed on to `sdpa`, and a reason to take it where it changes the result.

    Returns:
        [B, T, H, d], and None in place of the weights.
    """
    T, S = query.shape[2], key.shape[2]
    if torch.is_autocast_enabled("cpu") and query.device.type == "cpu":
        query, key, value = (part.to(torch.get_autocast_dtype("cpu")) for part in (query, key, value))
    if attention_mask is not None and 1 < (own := attention_mask.shape[2]) < T:
        query, key, value = (part.contiguous() for part in (query, key, value))  # once instead of for both parts
        before, keys, values = query[:, :, : T - own], key[:, :, : S - own], value[:, :, : S - own]
        prompt, _ = cpu_attention(module, before, keys, values, None, dropout, scaling, True, **kwargs)
        answers, _ = cpu_attention(module, query[:, :, -own:], key, value, attention_mask, dropout, scaling, **kwargs)
        return torch.cat([prompt, answers], dim=1), None
    is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    causal = attention_mask is None and is_causal
    if not _is_faster_as_product(query, key, value, attention_mask, causal=causal) or (
        dropout > 0.0 or kwargs.get("position_bias") is not None
    ):
        if causal and 1 < T < S:  # the fused kernel would let the first query see only the first key
            attention_mask = torch.ones(T, S, dtype=torch.bool, device=query.device).tril_(S - T)[None, None]
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
        )
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if attention_mask is None:
        return causal_product(query, key, value, scaling=scaling), None
    mixed = _masked_product(query * scaling, key, value, attention_mask)
    return mixed.transpose(1, 2).contiguous(), None


def _is_faster_as_product(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, causal: bool) -> bool:
    """Whether products beat the fused kernel, as far as shapes and types decide that."""
    T, S = query.shape[2], key.shape[2]
    short = query.device.type == "cpu" and 1 < T <= S <= LONGEST_PRODUCT
    if not short or value.shape[-1] != key.shape[-1]:  # DeepSeek's differ
        return False
    is_half = query.dtype == torch.bfloat16
    learns = torch.is_grad_enabled() and query.requires_grad
    return (causal and (is_half or learns or T < S)) or (mask is not None and is_half)


def _masked_product(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """[B, H, T, d] of keys [B, K, S, d]: heads that share keys are rows of one product, so that keys need no copies."""
    (B, H, T, d), (K, S) = query.shape, key.shape[1:3]
    scores = (query.reshape(B, K, -1, d) @ key.transpose(2, 3)).view(B, H, T, S)
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
    return (scores.softmax(dim=-1).view(B, K, -1, S) @ value).view(B, H, T, d)


def causal_product(query: Tensor, key: Tensor, value: Tensor, *, scaling: float = 1.0) -> Tensor:
    """Causal attention of the last T of S places.

    Args:
        query: [B, H, T, d].
        key: [B, K, S, d]; K divides H.
        value: [B, K, S, d].
        scaling: Factor of the queries.

    Returns:
        [B, T, H, d].
    """
    mixed: Tensor = _CausalProduct.apply(query, key, value, scaling)  # type: ignore[no-untyped-call]
    return mixed


class _CausalProduct(torch.autograd.Function):
    """Blocks of queries, each against the keys up to its end: little of what a causal mask hides is computed.

    Heads that share keys are rows of one product, so that keys need no copy for each of them, and products are larger.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:  # noqa: ANN401
        (B, H, T, d), (K, S) = query.shape, key.shape[1:3]
        k, v = (part.reshape(B * K, S, d) for part in (key, value))
        grouped = query.reshape(B, K, H // K, T, d)
        mixed = query.new_empty(B, T, K, H // K, d)
        saved = []
        for start, end in _blocks(T):
            seen = S - T + end  # keys up to the block's last query
            q = query.new_empty(B, K, H // K, end - start, d)
            q = torch.mul(grouped[:, :, :, start:end], scaling, out=q).view(B * K, -1, d)
            scores = q @ k[:, :seen].contiguous().transpose(1, 2)  # [B * K, H / K * block, seen]
            later = torch.ones(end - start, end - start, dtype=torch.bool).triu_(1)
            own = scores.view(B * K, H // K, end - start, seen)[..., S - T + start :]
            own.masked_fill_(later, float("-inf"))
            weight = scores.softmax(dim=-1)
            part = weight @ v[:, :seen].contiguous()
            mixed[:, start:end] = part.view(B, K, H // K, -1, d).permute(0, 3, 1, 2, 4)
            saved += [q, weight]
        ctx.save_for_backward(k, v, *saved)
        ctx.scaling = scaling
        return mixed.view(B, T, H, d)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        k, v, *saved = ctx.saved_tensors
        (B, T, H, d), (_, S, _) = gradient.shape, k.shape
        K = len(k) // B
        g = gradient.reshape(B, T, K, H // K, d)
        of_q, of_k, of_v = torch.empty_like(g), torch.empty(0), torch.empty(0)
        for number, (start, end) in reversed([*enumerate(_blocks(T))]):
            q, weight = saved[2 * number : 2 * number + 2]
            seen = S - T + end
            part = g[:, start:end].permute(0, 2, 3, 1, 4).reshape(B * K, -1, d)
            of_weight = part @ v[:, :seen].contiguous().transpose(1, 2)
            of_scores = softmax_backward(of_weight, weight)
            of_block = (of_scores @ k[:, :seen].contiguous()).view(B, K, H // K, -1, d)
            torch.mul(of_block.permute(0, 3, 1, 2, 4), ctx.scaling, out=of_q[:, start:end])
            more_k, more_v = of_scores.transpose(1, 2) @ q, weight.transpose(1, 2) @ part
            if end == T:  # all keys
                of_k, of_v = more_k, more_v
            else:
                of_k[:, :seen] += more_k
                of_v[:, :seen] += more_v
        return of_q.view(B, T, H, d).transpose(1, 2), of_k.view(B, K, S, d), of_v.view(B, K, S, d), None


def softmax_backward(gradient: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the scores from that of their softmax over the last dimension."""
    fused = getattr(torch, "_softmax_backward_data", None)  # see kernels/choice.py
    if fused is None:
        return weight * (gradient - (gradient * weight).sum(-1, keepdim=True))
    of_scores: Tensor = fused(gradient, weight, -1, weight.dtype)
    return of_scores


def _blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + _BLOCK, length)) for start in range(0, length, _BLOCK)]


AttentionInterface.register(ATTENTION, cpu_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def use_cpu_attention(model: PreTrainedModel) -> None:
    """Let a model that attends by `sdpa` attend by `cpu_attention`, which falls back to it; others are left alone."""
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(ATTENTION)
