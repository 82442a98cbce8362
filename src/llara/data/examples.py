"""Examples: a history and the next item, the unit that is trained on and evaluated."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from llara.data.sequences import IntArray, Sequences

SplitName = Literal["train", "validation", "test"]

_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Examples:
    """Histories with their targets, one per row.

    Attributes:
        history: Item indices, oldest first, padded with 0 on the right, shape [N, L].
        history_length: Length without padding, in [0, L], shape [N].
        target: Held-out next item, in 1..num_items, shape [N].
        user_index: User of each row, shape [N].
    """

    history: IntArray
    history_length: IntArray
    target: IntArray
    user_index: IntArray

    def __len__(self) -> int:
        return len(self.target)

    def histories(self) -> list[list[int]]:
        """Each row's history as a list without padding, oldest first."""
        return [row[:length].tolist() for row, length in zip(self.history, self.history_length, strict=True)]

    def select(self, rows: IntArray) -> "Examples":
        """The given rows, in the given order."""
        return Examples(self.history[rows], self.history_length[rows], self.target[rows], self.user_index[rows])


def prefix_examples(sequences: Sequences, *, history_length: int, min_history: int) -> Examples:
    """One example per item that has at least `min_history` items before it.

    Args:
        sequences: Item sequences, oldest first.
        history_length: How many of the latest earlier items form the history, >= 1.
        min_history: Positions with fewer earlier items are dropped, >= 0.

    Source:
        LLaRA (arXiv:2312.02445) trains on every prefix of a training user, histories of 10, 3 items at least.
    """
    wanted = np.ones(len(sequences.items), dtype=bool)
    for place in range(min_history):
        wanted[sequences.offsets[:-1][sequences.lengths > place] + place] = False
    return examples_at(sequences, np.flatnonzero(wanted), history_length=history_length)


def last_examples(sequences: Sequences, *, history_length: int, min_history: int) -> Examples:
    """One example per sequence: its last item is the target. Sequences with too short a history are dropped."""
    last = sequences.offsets[1:] - 1
    return examples_at(sequences, last[sequences.lengths > min_history], history_length=history_length)


def examples_at(sequences: Sequences, target_at: IntArray, *, history_length: int) -> Examples:
    """One example per given target, with the items before it in its sequence as the history.

    Args:
        sequences: Item sequences, oldest first.
        target_at: Positions of the targets in `sequences.items`, shape [N].
        history_length: How many of the latest earlier items form the history, >= 1.
    """
    count = len(target_at)
    history = np.zeros((count, history_length), dtype=np.int64)
    length, user_index = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    columns = np.arange(history_length)
    for start in range(0, count, _ROWS_AT_ONCE):  # at once, the intermediate arrays would outweigh the histories
        block = slice(start, start + _ROWS_AT_ONCE)
        at = target_at[block]
        row = np.searchsorted(sequences.offsets, at, side="right") - 1
        length[block] = np.minimum(at - sequences.offsets[row], history_length)
        visible = columns < length[block, None]  # [block, L]
        source = (at - length[block])[:, None] + columns
        history[block][visible] = sequences.items[source[visible]]
        user_index[block] = sequences.user_index[row]
    return Examples(history, length, sequences.items[target_at], user_index)
