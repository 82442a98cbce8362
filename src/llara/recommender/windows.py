"""Windows: how sequences of any length become batches in which every position is a training target."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from llara.data.sequences import IntArray, Sequences

_BATCHES_PER_BUCKET = 32


@dataclass(frozen=True)
class Windows:
    """Stretches of consecutive items, each a training row.

    Attributes:
        begin: First input item of each window, as a place in `Sequences.items`, shape [W].
        length: Number of inputs of each window; as many targets, one place later, shape [W].
    """

    begin: IntArray
    length: IntArray


def cut_windows(sequences: Sequences, *, max_length: int, rng: np.random.Generator) -> Windows:
    """Cut every sequence into windows at a random offset, so that each transition is a target exactly once.

    The offset changes with each call, and so does what stands at a window's start: a model learns to start anywhere,
    as it must for histories that show only a user's latest items.

    Args:
        sequences: Item sequences; those with fewer than two items have no transition.
        max_length: Most inputs per window, >= 1.
        rng: Source of the offsets.
    """
    transitions = np.maximum(sequences.lengths - 1, 0)
    # A sequence that fits into one window stays whole: cutting it would only take context away.
    offset = np.where(transitions > max_length, rng.integers(0, max_length, len(sequences)), 0)
    count = np.where(transitions > 0, -(-(transitions + offset) // max_length), 0)
    row = np.repeat(np.arange(len(sequences)), count)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    start = place * max_length - offset[row]
    begin = np.maximum(start, 0)
    end = np.minimum(start + max_length, transitions[row])
    return Windows(sequences.offsets[row] + begin, end - begin)


def batch_windows(
    sequences: Sequences, windows: Windows, *, batch_size: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of about `batch_size` targets, from windows of similar lengths, in random order.

    Args:
        sequences: What the windows point into.
        windows: Every one of them is in exactly one batch.
        batch_size: Targets per batch; a batch holds at least one window, whatever its length.
        rng: Source of the order.

    Yields:
        Inputs and targets, item indices padded with 0 on the right, [B, L] each.
    """
    batch = _assign_batches(windows.length, batch_size=batch_size, rng=rng)
    by_batch = np.argsort(batch, kind="stable")
    edges = np.flatnonzero(np.diff(batch[by_batch])) + 1
    for chosen in np.split(by_batch, edges) if len(batch) else []:
        length = windows.length[chosen]
        columns = np.arange(length.max())
        inside = columns < length[:, None]  # [B, L]
        place = np.where(inside, windows.begin[chosen][:, None] + columns, 0)
        inputs = np.where(inside, sequences.items[place], 0)
        targets = np.where(inside, sequences.items[place + 1], 0)
        yield torch.from_numpy(inputs), torch.from_numpy(targets)


def _assign_batches(length: IntArray, *, batch_size: int, rng: np.random.Generator) -> IntArray:
    """Number of the batch of each window; numbers are in random order, shape [W]."""
    order = rng.permutation(len(length))
    targets_before = np.cumsum(length[order]) - length[order]
    bucket = targets_before // (batch_size * _BATCHES_PER_BUCKET)
    order = order[np.lexsort((length[order], bucket))]
    targets_before = np.cumsum(length[order]) - length[order]
    number = targets_before // batch_size
    names, number = np.unique(number, return_inverse=True)
    batch = np.empty_like(length)
    batch[order] = rng.permutation(len(names))[number]
    return batch
