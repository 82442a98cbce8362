"""Norms and rotations of Llama-shaped layers on CPUs, in fewer passes over memory than the library takes."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRMSNorm, eager_attention_forward


def use_cpu_layers(model: PreTrainedModel) -> None:
    """Let the Llama layers of a model compute as below where they are on a CPU; others are left alone.

    Beside products by AMX, element-wise work is most of a small model's step. With weights in float32 the library's
    norm leaves float32, which every projection behind it casts again, and its rotation walks heads in strides; a
    training step of the quickstart takes a fifth less time without both (docs/experiments).

    Tried with transformers 5.23. Weights, their names and saved files stay as they are.
    """
    for module in model.modules():
        if type(module) is LlamaRMSNorm:
            module.__class__ = CpuRMSNorm
        elif type(module) is LlamaAttention:
            module.__class__ = CpuLlamaAttention


class CpuRMSNorm(LlamaRMSNorm):
    """The library's norm, its output in the precision of the products that read it."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Rows of length 1 on average, times the weight, [..., D]; in float64 the library computes."""
        if hidden_states.device.type != "cpu" or hidden_states.dtype == torch.float64:
            return super().forward(hidden_states)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else hidden_states.dtype
        normed: Tensor = _RMSNorm.apply(hidden_states, self.weight, self.variance_epsilon, dtype)  # type: ignore[no-untyped-call]
        return normed


class _RMSNorm(torch.autograd.Function):
    """In float32 throughout; the backward pass computes the normed rows again instead of keeping them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype) -> Tensor:  # noqa: ANN401
        inverse = _inverse_rms(x, epsilon)
        ctx.save_for_backward(x, weight, inverse)
        return (x.float() * inverse).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, weight, inverse = ctx.saved_tensors
        normed = x.float() * inverse  # [..., D]
        g = gradient.float()
        along = (g * normed).flatten(0, -2)  # [N, D]
        of_weight = along.sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None
        shared = (along @ (weight.float() / x.shape[-1])).view(inverse.shape)
        of_x = (g * weight).addcmul_(normed, shared, value=-1).mul_(inverse).to(x.dtype)
        return of_x, of_weight, None, None


def _inverse_rms(x: Tensor, epsilon: float) -> Tensor:
    """One over the root of each row's mean square, [..., 1], float32."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    inverse: Tensor = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
    return inverse


class CpuLlamaAttention(LlamaAttention):
    """The library's attention layer, with queries and keys rotated before they are cut into heads."""

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,  # noqa: ANN401 - the library's cache
        **kwargs: Any,  # noqa: ANN401 - the library's signature
    ) -> tuple[Tensor, Tensor]:
        """What the layer adds to the residual stream, [B, T, D], and the attention weights if the kernel gives them."""
        if hidden_states.device.type != "cpu" or position_embeddings is None:
            return super().forward(hidden_states, position_embeddings, attention_mask, past_key_values, **kwargs)
        cos, sin = position_embeddings
        rotated = (rotate_heads(layer(hidden_states), cos, sin) for layer in (self.q_proj, self.k_proj))
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        query, key, value = (part.view(shape).transpose(1, 2) for part in (*rotated, self.v_proj(hidden_states)))
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        dropout = self.attention_dropout if self.training else 0.0
        mixed, weights = attend(
            self, query, key, value, attention_mask, dropout=dropout, scaling=self.scaling, **kwargs
        )
        output: Tensor = self.o_proj(mixed.reshape(*hidden_states.shape[:-1], -1))
        return output, weights


def rotate_heads(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions of all heads at once.

    Args:
        x: Queries or keys, heads side by side, [B, T, H * d].
        cos: [b, T, d]; b is B or 1, both halves of d alike.
        sin: As `cos`.

    Returns:
        [B, T, H * d].
    """
    rotated: Tensor = _Rotation.apply(x, cos.to(x.dtype), sin.to(x.dtype))  # type: ignore[no-untyped-call]
    return rotated


class _Rotation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        cos, sin = ctx.saved_tensors
        return _rotated(gradient.contiguous(), cos, -sin), None, None


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x * cos + half * sin`, where `half` holds the second half of each head, negated, before its first."""
    size = cos.shape[-1]
    heads = x.shape[-1] // size
    signed = sin.clone()
    signed[..., : size // 2].neg_()
    return (x * cos.repeat(1, 1, heads)).addcmul_(_exchanged(x, size), signed.repeat(1, 1, heads))


def _exchanged(x: Tensor, size: int) -> Tensor:
    """The halves of each head in the other order, each moved as one block of bytes.

    That takes a third of the time of a product with a permutation; torch moves short slices number by number.
    """
    block = np.dtype((np.void, size // 2 * x.element_size()))
    halves = x.detach().contiguous().view(torch.uint8).numpy().reshape(-1).view(block).reshape(-1, 2)
    moved = np.ascontiguousarray(halves[:, ::-1]).view(np.uint8)
    return torch.from_numpy(moved).view(x.dtype).view(x.shape)
