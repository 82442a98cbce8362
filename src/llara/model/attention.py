"""Attention on CPUs: plain matrix products where they beat the fused kernel, the fused kernel elsewhere."""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "llara_cpu"
LONGEST_PRODUCT = 1024
"""Longest sequence whose [T, T] scores are held in memory at once."""


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
        The fused CPU kernel of torch 2.13 computes bfloat16 at the speed of float32; two products and a softmax take
        half its time, forward and backward (docs/experiments.md). Where that does not hold (other devices, float32,
        long or single-token queries, dropout), the call goes to `sdpa` unchanged.

    Args:
        module: The attention layer; its `is_causal` counts where the argument is None.
        query: [B, H, T, d].
        key: [B, K, S, d]; K divides H.
        value: [B, K, S, d].
        attention_mask: Additive or boolean (True: visible), [B, 1, T, S]; None: causal, if the layer is. With fewer
            queries than T, it is about the last ones (an answer tree's), and those before are causal.
        dropout: Share of attention weights dropped.
        scaling: Factor of the scores; None: d ** -0.5.
        is_causal: Whether None as a mask means causal.
        kwargs: What else the caller gives; passed on to `sdpa`, and a reason to take it where it changes the result.

    Returns:
        [B, T, H, d], and None in place of the weights.
    """
    T, S = query.shape[2], key.shape[2]
    if attention_mask is not None and T == S and 1 < attention_mask.shape[2] < T:
        start = T - attention_mask.shape[2]
        before, keys, values = query[:, :, :start], key[:, :, :start], value[:, :, :start]
        prompt, _ = cpu_attention(module, before, keys, values, None, dropout, scaling, True, **kwargs)
        answers, _ = cpu_attention(module, query[:, :, start:], key, value, attention_mask, dropout, scaling, **kwargs)
        return torch.cat([prompt, answers], dim=1), None
    fits = query.device.type == "cpu" and query.dtype == torch.bfloat16 and 1 < T <= S <= LONGEST_PRODUCT
    fits &= T == S or attention_mask is not None
    if not fits or dropout > 0.0 or kwargs.get("position_bias") is not None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
        )
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = (query * (query.shape[-1] ** -0.5 if scaling is None else scaling)) @ key.transpose(2, 3)  # [B, H, T, S]
    if attention_mask is None:
        if is_causal if is_causal is not None else getattr(module, "is_causal", True):
            hidden = torch.full((T, S), float("-inf"), dtype=scores.dtype)
            scores = scores + hidden.triu_(1)
    elif attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    else:
        scores = scores + attention_mask
    mixed = scores.softmax(dim=-1) @ value  # [B, H, T, d]
    return mixed.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, cpu_attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def use_cpu_attention(model: PreTrainedModel) -> None:
    """Let a model that attends by `sdpa` attend by `cpu_attention`, which falls back to it; others are left alone."""
    if model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(ATTENTION)
