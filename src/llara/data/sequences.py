"""Ragged integer sequences, stored flat: the shape in which histories travel between data, recommender and training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """One item sequence per row, oldest first, without padding.

    Attributes:
        items: Item indices (1..num_items) of all rows, one after the other, shape [N].
        offsets: Row r is `items[offsets[r]:offsets[r + 1]]`, shape [rows + 1].
        user_index: The user that each row belongs to, shape [rows].
    """

    items: IntArray
    offsets: IntArray
    user_index: IntArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> IntArray:
        return self.items[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[IntArray]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> IntArray:
        """Number of items of each row, shape [rows]."""
        return np.diff(self.offsets)

    def select(self, rows: IntArray) -> "Sequences":
        """The given rows, in the given order; their users keep their indices."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        source = np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        source += np.arange(offsets[-1])
        return Sequences(self.items[source], offsets, self.user_index[rows])

    def between(self, start: int, end: int) -> "Sequences":
        """Rows start, ..., end - 1, without a copy of their items."""
        offsets = self.offsets[start : end + 1]
        return Sequences(self.items[offsets[0] : offsets[-1]], offsets - offsets[0], self.user_index[start:end])

    @staticmethod
    def from_lists(rows: Sequence[Sequence[int]], user_index: Sequence[int] | None = None) -> "Sequences":
        """Build from Python lists; users are numbered 0, 1, ... unless given."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        flat = [item for row in rows for item in row]
        return Sequences(
            items=np.array(flat, dtype=np.int64),
            offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
            user_index=np.arange(len(rows)) if user_index is None else np.array(user_index, dtype=np.int64),
        )
