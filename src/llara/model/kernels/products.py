"""Matrix products in float32 on CPUs, by the faster of two libraries."""

import threading
import time
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

ProductLibrary = Literal["torch", "onednn"]
"""Who multiplies large float32 matrices: torch by itself (MKL), or oneDNN. They differ in the last bits."""
_SMALLEST = 2**22
"""Multiplications from which on the choice matters."""
_PROBE = 512
_WORTH = 1.3
_T = TypeVar("_T")


def linear_product(x: Tensor, weight: Tensor, *, library: ProductLibrary | None = None) -> Tensor:
    """`x @ weight.T`, without a gradient of its own: for autograd functions and passes without gradients.

    torch multiplies float32 by MKL, which uses half of an AMD processor; oneDNN, which torch has for bfloat16, uses all
    of it (docs/experiments.md). Small products stay with torch.

    Args:
        x: [N, in].
        weight: [out, in], of any strides.
        library: Who multiplies; None: the one that a short trial, once per process, found faster.
    """
    is_large = x.shape[0] * weight.numel() >= _SMALLEST
    if is_large and x.dtype == torch.float32 and x.device.type == "cpu" and (library or fastest_library()) == "onednn":
        return _by_onednn(x, weight)
    return x @ weight.T


def _by_onednn(x: Tensor, weight: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product


class Once(Generic[_T]):
    """A value that is computed at the first call, by one thread while the others wait."""

    def __init__(self, compute: Callable[[], _T]) -> None:
        self._compute = compute
        self._found: list[_T] = []
        self._lock = threading.Lock()

    def __call__(self) -> _T:
        """The value."""
        with self._lock:
            if not self._found:
                self._found.append(self._compute())
            return self._found[0]


def _has_onednn() -> bool:
    """Whether this torch multiplies float32 by oneDNN, and gets the same."""
    left, right = _probe()
    try:
        found = _by_onednn(left, right)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(found, left @ right.T, atol=1e-3, rtol=1e-4)


@torch.no_grad()
def _trial() -> ProductLibrary:
    """OneDNN where it multiplies clearly faster than torch does by itself."""
    if not has_onednn():
        return "torch"
    left, right = _probe()
    faster = _fastest(lambda: left @ right.T) > _WORTH * _fastest(lambda: _by_onednn(left, right))
    return "onednn" if faster else "torch"


def _probe() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(_PROBE, _PROBE, generator=generator), torch.randn(_PROBE, _PROBE, generator=generator)


has_onednn = Once(_has_onednn)
fastest_library = Once(_trial)


def _fastest(run: Callable[[], Tensor]) -> float:
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
