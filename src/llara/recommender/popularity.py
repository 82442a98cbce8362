"""Popularity: the baseline that knows no user."""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from torch import Tensor

from llara.data.sequences import Sequences
from llara.errors import DataError
from llara.recommender.base import Recommender


class Popularity(Recommender):
    """Scores an item by the logarithm of one plus its number of training interactions, whatever the history.

    Args:
        counts: Interactions of each item, >= 0, entry 0 for padding, [num_items + 1].
    """

    name = "popularity"
    log_counts: Tensor

    def __init__(self, counts: Tensor) -> None:
        super().__init__(num_items=len(counts) - 1, width=1)
        # float64 keeps the order of counts that differ by one among millions.
        self.register_buffer("log_counts", torch.log1p(counts.double()))

    @classmethod
    def from_sequences(cls, sequences: Sequences, *, num_items: int) -> Self:
        """Count the interactions of the training sequences.

        Raises:
            DataError: If an item index is outside 1..num_items.
        """
        items = sequences.items
        if len(items) and not 1 <= items.min() <= items.max() <= num_items:
            raise DataError(f"item indices must be in 1..{num_items}, found {items.min()}..{items.max()}.")
        return cls(torch.from_numpy(np.bincount(items, minlength=num_items + 1)))

    def scoring_table(self) -> Tensor:
        """The scores as vectors of width 1, [num_items + 1, 1]."""
        return self.log_counts.unsqueeze(1)

    def encode(self, history: Tensor) -> Tensor:
        """The same state for every history, an empty one included: 1, [B, 1]."""
        return self.log_counts.new_ones((len(history), 1))

    def settings(self) -> dict[str, object]:
        """Nothing beside the counts."""
        return {}

    @classmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """A popularity whose counts are yet to be loaded."""
        if settings or width != 1:
            raise TypeError(f"popularity has no settings and width 1, found {dict(settings)} and width {width}")
        return cls(torch.zeros(num_items + 1))
