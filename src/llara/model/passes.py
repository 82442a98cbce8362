"""Forward passes over many rows: in which precision, with folded adapters or not, and which rows together."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from llara.model.network import Network
from llara.model.precision import resolve_precision

_WORTH_FOLDING = 32
_POOLS = (1, 2, 4, 8, 16, 32)
"""Batches within which rows are sorted by their answers; the one that pads least is taken."""


def autocast(network: Network) -> AbstractContextManager[None]:
    """Mixed precision as the model's configuration asks, on the device where it is."""
    dtype = resolve_precision(network.config.backbone.precision, network.device)
    return torch.autocast(network.device.type, dtype=dtype, enabled=dtype != torch.float32)


def folded_for(network: Network, num_rows: int) -> AbstractContextManager[object]:
    """Folded adapters where so many rows follow that folding pays."""
    return network.folded() if num_rows >= _WORTH_FOLDING else nullcontext()


def length_batches(lengths: Sequence[tuple[int, int]], batch_size: int) -> list[list[int]]:
    """Row numbers in batches of similar lengths, so that little is spent on padding.

    Args:
        lengths: Tokens of each row's prompt and of its answers.
        batch_size: Rows per batch; the last may have fewer.
    """
    return min((_pooled(lengths, batch_size, pool) for pool in _POOLS), key=lambda batches: _padded(lengths, batches))


def _pooled(lengths: Sequence[tuple[int, int]], batch_size: int, pool: int) -> list[list[int]]:
    """Rows sorted by prompt, then those of a few batches by answers."""
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    batches = []
    for first in range(0, len(order), pool * batch_size):
        rows = sorted(order[first : first + pool * batch_size], key=lambda row: lengths[row][1])
        batches += [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    return batches


def _padded(lengths: Sequence[tuple[int, int]], batches: Sequence[Sequence[int]]) -> int:
    """Tokens of all batches with their padding."""
    return sum(
        len(rows) * (max(lengths[row][0] for row in rows) + max(lengths[row][1] for row in rows)) for rows in batches
    )
