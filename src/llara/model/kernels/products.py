"""Matrix products in float32 on CPUs, by the faster of two libraries."""

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

_SMALLEST = 2**22
"""Multiplications from which on the choice matters."""
_PROBE = 512
_WORTH = 1.3


def linear_product(x: Tensor, weight: Tensor) -> Tensor:
    """`x @ weight.T`, without a gradient of its own: for autograd functions and passes without gradients.

    torch multiplies float32 by MKL, which uses half of an AMD processor; oneDNN, which torch has for bfloat16, uses all
    of it (docs/experiments.md). A short trial decides once per process; small products stay with torch.

    Args:
        x: [N, in].
        weight: [out, in], of any strides.
    """
    is_large = x.shape[0] * weight.numel() >= _SMALLEST
    if is_large and x.dtype == torch.float32 and x.device.type == "cpu" and onednn_is_faster():
        return _by_onednn(x, weight)
    return x @ weight.T


def _by_onednn(x: Tensor, weight: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN multiplies float32 clearly faster than torch does by itself, and gives the same."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(_PROBE, _PROBE, generator=generator) for _ in range(2))
    with torch.no_grad():
        try:
            found = _by_onednn(left, right)
        except (AttributeError, RuntimeError, TypeError):
            return False
        expected = left @ right.T
        if not torch.allclose(found, expected, atol=1e-3, rtol=1e-4):
            return False
        return _fastest(lambda: left @ right.T) > _WORTH * _fastest(lambda: _by_onednn(left, right))


def _fastest(run: Callable[[], Tensor]) -> float:
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
