"""The adapter's layers: what peft computes, in fewer passes over memory and with cheap dropout."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import numpy as np
import torch
from peft.tuners.lora.layer import Linear as PeftLinear
from torch import Tensor, nn

from llara.model.kernels.products import ProductLibrary, fastest_library, has_onednn, linear_product

logger = logging.getLogger(__name__)

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_LEVELS = 256
"""A byte decides whether a value is kept, so a share dropped is a multiple of 1 / 256."""


class LoraLinear(PeftLinear):
    """A frozen linear layer with a low-rank update.

    Deviations from peft: the update is computed in the precision of the layer's input, and the share of dropped values
    is rounded to a multiple of 1 / 256 (0.1 becomes 26 / 256); what is kept is scaled to match.

    Attributes:
        folded: Weights with the update in them, there while anybody holds them (`hold_folded`). Only passes within
            `folded_adapters` read them, so that a result does not depend on what other threads hold.
        holders: How many hold them.
        products: Who multiplies, see `linear_product`; set by `use_products`.
    """

    folded: Tensor | None = None
    holders: int = 0
    products: ProductLibrary | None = None

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - peft's signature
        """The layer's output, [..., in] -> [..., out]."""
        base = cast(nn.Linear, self.get_base_layer())
        name = self.active_adapters[0] if len(self.active_adapters) == 1 else None
        if name is None or args or kwargs or self.disable_adapters or self.merged or base.weight.requires_grad:
            return super().forward(x, *args, **kwargs)
        folded = self.folded if id(self) in _FOLDED_HERE.get() else None
        if folded is not None and not torch.is_grad_enabled():
            product = linear_product(x.flatten(0, -2).to(folded.dtype), folded, library=self.products)
            return (product if base.bias is None else product + base.bias.to(product.dtype)).view(*x.shape[:-1], -1)
        dtype = x.dtype
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
        dropout = self.lora_dropout[name]
        share = dropout.p if self.training and isinstance(dropout, nn.Dropout) else 0.0
        down, up = cast(nn.Linear, self.lora_A[name]), cast(nn.Linear, self.lora_B[name])
        return lora_product(
            x.to(dtype),
            base.weight.to(dtype),
            None if base.bias is None else base.bias.to(dtype),
            down.weight.to(dtype),
            up.weight.to(dtype),
            scaling=self.scaling[name],
            dropout=share,
            library=self.products,
        )


def products_of(model: nn.Module) -> ProductLibrary | None:
    """Who multiplies for a model's adapters; None where it has none, or no CPU does it."""
    layers = [module for module in model.modules() if isinstance(module, LoraLinear)]
    if not layers or layers[0].weight.device.type != "cpu":
        return None
    return layers[0].products or fastest_library()


def use_products(model: nn.Module, library: ProductLibrary) -> None:
    """Let a model's adapters multiply as they did before: the libraries differ in the last bits.

    Where this torch has no such library, its own is taken and a warning logged.
    """
    if library == "onednn" and not has_onednn():
        logger.warning("products were by oneDNN before, which this torch lacks: results differ in their last bits")
        library = "torch"
    for module in model.modules():
        if isinstance(module, LoraLinear):
            module.products = library


# As in `last_layer`: no argument of a pass reaches the linear layers of a backbone.
_FOLDED_HERE: ContextVar[frozenset[int]] = ContextVar(
    "layers whose folded weights this thread reads",
    default=frozenset(),
)
_FOLDING = threading.Lock()


@contextmanager
def hold_folded(model: nn.Module, *, dtype: torch.dtype) -> Iterator[tuple[LoraLinear, ...]]:
    """Within the block, weights into which the adapters' updates are added exist; by itself that changes no result.

    They are made once, however many threads hold them, and freed when the last one has left. The weights of the adapted
    layers are in memory twice meanwhile; where a GPU has no room for them, nothing is folded.

    Args:
        model: With adapters or without; its weights must not change within the block.
        dtype: Of the products.

    Yields:
        The layers that are folded.
    """
    layers = tuple(module for module in model.modules() if isinstance(module, LoraLinear))
    with _FOLDING:
        new = [layer for layer in layers if layer.folded is None]
        if not _has_room(new):
            layers = tuple(layer for layer in layers if layer.folded is not None)
            new = []
        for layer in new:
            layer.folded = _folded(layer, dtype)
        for layer in layers:
            layer.holders += 1
    try:
        yield layers
    finally:
        with _FOLDING:
            for layer in layers:
                layer.holders -= 1
                if layer.holders == 0:
                    layer.folded = None


@contextmanager
def folded_adapters(model: nn.Module, *, dtype: torch.dtype) -> Iterator[bool]:
    """Within the block, this thread's passes without gradients read weights with the adapters' updates in them.

    That saves all products with the adapters' matrices. In float32 the results are the same to rounding; in bfloat16
    the weights are rounded once more, which adds a tenth to the error that products in bfloat16 have anyway
    (docs/experiments.md).

    Args:
        model: As in `hold_folded`, which this does.
        dtype: Of the products.

    Yields:
        Whether anything is folded.
    """
    with hold_folded(model, dtype=dtype) as layers:
        token = _FOLDED_HERE.set(_FOLDED_HERE.get() | {id(layer) for layer in layers})
        try:
            yield bool(layers)
        finally:
            _FOLDED_HERE.reset(token)


@torch.no_grad()
def _folded(layer: LoraLinear, dtype: torch.dtype) -> Tensor:
    name = layer.active_adapters[0]
    down, up = cast(nn.Linear, layer.lora_A[name]).weight, cast(nn.Linear, layer.lora_B[name]).weight
    weight = cast(nn.Linear, layer.get_base_layer()).weight
    return torch.addmm(weight.float(), up.float(), down.float(), alpha=layer.scaling[name]).to(dtype)


def _has_room(layers: list[LoraLinear]) -> bool:
    """Whether the weights fit a second time, and a quarter more."""
    weights = [cast(nn.Linear, layer.get_base_layer()).weight for layer in layers]
    if not weights or weights[0].device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(weights[0].device)
    return free > 1.25 * sum(weight.numel() * weight.element_size() for weight in weights)


def lora_product(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    up: Tensor,
    *,
    scaling: float,
    dropout: float,
    library: ProductLibrary | None = None,
) -> Tensor:
    """`x @ weight.T + bias + scaling * dropout(x) @ down.T @ up.T`; no gradient reaches `weight` and `bias`.

    Args:
        x: [..., in].
        weight: [out, in].
        bias: [out], or None.
        down: [r, in].
        up: [out, r].
        scaling: Factor of the update.
        dropout: Share of the values of `x` that the update does not see, in [0, 1); rounded to a multiple of 1 / 256.
        library: Who multiplies, see `linear_product`.

    Returns:
        [..., out].
    """
    product: Tensor = _LoraProduct.apply(x, weight, bias, down, up, scaling, dropout, library)  # type: ignore[no-untyped-call]
    return product.view(*x.shape[:-1], -1)  # out here: Falcon changes it in place, which a function's own view forbids


class _LoraProduct(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes by place
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scaling: float,
        dropout: float,
        library: ProductLibrary | None,
    ) -> Tensor:
        ctx.library = library
        flat = x.reshape(-1, x.shape[-1])  # [N, in]
        levels = _kept_levels(dropout)
        ctx.scaling = scaling * _LEVELS / levels  # what is kept makes up for what is not
        ctx.levels, ctx.seed = levels, int(torch.randint(2**62, ())) if levels < _LEVELS else 0
        kept = _kept_values(flat, levels, ctx.seed)
        hidden = _narrow_product(_select(flat, kept), down, library)  # [N, r]
        product = linear_product(flat, weight, library=library)
        if bias is not None:
            product += bias
        product.addmm_(hidden, up.T, alpha=ctx.scaling)
        ctx.save_for_backward(flat, hidden, weight, down, up, _packed(kept))
        ctx.shape = x.shape
        return product

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        flat, hidden, weight, down, up, packed = ctx.saved_tensors
        g = gradient.reshape(-1, gradient.shape[-1])  # [N, out]
        kept = _kept_values(flat, ctx.levels, ctx.seed) if packed is None else _unpacked(packed, flat.shape)
        # Products with a few columns are several times as fast in these layouts as in the obvious ones.
        of_hidden = _narrow_product(g, up.T.contiguous(), ctx.library).mul_(ctx.scaling)  # [N, r]
        of_down = of_hidden.T @ _select(flat, kept)
        of_up = (hidden.T @ g).T * ctx.scaling
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = linear_product(g, weight.T, library=ctx.library)
            if kept is None:
                of_x.addmm_(of_hidden, down)
            else:
                update = of_hidden @ down
                update.view(_INTEGERS[update.element_size()]).mul_(kept)  # as `_select`, without memory of its own
                of_x += update
            of_x = of_x.view(ctx.shape)
        return of_x, None, None, of_down, of_up, None, None, None


def _narrow_product(x: Tensor, weight: Tensor, library: ProductLibrary | None) -> Tensor:
    """`x @ weight.T` for few columns, [N, r]: in bfloat16 on CPUs a quarter faster as the product of the transposed."""
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        return (weight @ x.T).T.contiguous()
    return linear_product(x, weight, library=library)


def _kept_levels(dropout: float) -> int:
    """How many of 256 equally likely bytes mean that a value is kept."""
    return max(1, round((1.0 - dropout) * _LEVELS))


def _kept_values(flat: Tensor, levels: int, seed: int) -> Tensor | None:
    """Which values are kept, as the seed decides; None: all of them. On CPUs numpy draws ten times as fast as torch."""
    if levels >= _LEVELS:
        return None
    shape, device = flat.shape, flat.device
    if device.type != "cpu":
        generator = torch.Generator(device).manual_seed(seed)
        return torch.randint(0, _LEVELS, shape, dtype=torch.uint8, device=device, generator=generator) < levels
    count = shape.numel()
    drawn = np.random.SFC64(seed).random_raw(-(-count // 8)).view(np.uint8)[:count]
    return torch.from_numpy(np.less(drawn, np.uint8(levels), out=drawn.view(np.bool_))).view(shape)


def _packed(kept: Tensor | None) -> Tensor | None:
    """A bit for each value, for the backward pass; None: it draws again, as GPUs do.

    To read bits takes a fifth of the time of drawing; a byte for each value would take a tenth of training's memory.
    """
    if kept is None or kept.device.type != "cpu":
        return None
    return torch.from_numpy(np.packbits(kept.numpy()))


def _unpacked(packed: Tensor, shape: torch.Size) -> Tensor:
    return torch.from_numpy(np.unpackbits(packed.numpy(), count=shape.numel()).view(np.bool_)).view(shape)


def _select(values: Tensor, kept: Tensor | None) -> Tensor:
    """The kept values, 0 elsewhere: a product of integers, a fifth of the time of one of numbers with a mask."""
    if kept is None:
        return values
    return (values.contiguous().view(_INTEGERS[values.element_size()]) * kept).view(values.dtype)
