"""Counts of what is chosen soon after what: a table that is made in seconds and hard to beat where data is dense."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from llara.data.limits import PositiveInt, PositiveRatio, check_limits
from llara.data.sequences import Sequences
from llara.recommender.pairs import PairRecommender, weights_of


@dataclass(frozen=True, kw_only=True)
class CountsConfig:
    """How co-occurrence is counted: for `counts` and `fusion`."""

    window: PositiveInt = 20
    """How many items after an item count as following it, >= 1; each is worth the inverse root of its distance."""
    decay: PositiveRatio = 0.85
    """Weight of a history item against that of the one after it, in (0, 1]; 1: all count alike."""
    smoothing: PositiveRatio = 0.1
    """Share of popularity in the mixture, in (0, 1]: what an item is worth that never followed the history's items."""

    def __post_init__(self) -> None:
        check_limits(self, "recommender.counts")


class Counts(PairRecommender):
    """Scores an item by the logarithm of its probability in a mixture: what followed each history item, and popularity.

    What followed an item is counted in the training sequences; the mixture weighs later history items more.

    Args:
        num_items: Catalog size, without padding.
        config: How is counted.
        pairs: Number of (item, follower) pairs of a saved one; `count` sets it.
    """

    name = "counts"
    config_kind = CountsConfig
    config: CountsConfig
    popularity: Tensor

    def __init__(self, num_items: int, config: CountsConfig | None = None, *, pairs: int = 0) -> None:
        super().__init__(num_items, config, pairs=pairs)
        self.register_buffer("popularity", torch.full((num_items + 1,), 1 / num_items))

    def count(self, sequences: Sequences) -> None:
        """Count anew in training sequences."""
        size = self.num_items + 1
        items, row = sequences.items, np.repeat(np.arange(len(sequences)), sequences.lengths)
        table = csr_array((size, size), dtype=np.float32)
        for distance in range(1, min(self.config.window, int(sequences.lengths.max(initial=1)) - 1) + 1):
            same = row[distance:] == row[:-distance]
            first, second = items[:-distance][same], items[distance:][same]
            worth = np.full(len(first), distance**-0.5, dtype=np.float32)
            table = table + csr_array((worth, (first, second)), shape=(size, size))
        of_item = np.asarray(table.sum(axis=1)).ravel()
        shares = table.data / np.repeat(np.maximum(of_item, 1e-9), np.diff(table.indptr))
        self.take(csr_array((shares, table.indices, table.indptr), shape=table.shape))
        chosen = np.bincount(items, minlength=size)[:size].astype(np.float32) + 1.0
        chosen[0] = 0.0
        self.popularity = torch.from_numpy(chosen / chosen.sum())

    def score_all(self, history: Tensor) -> Tensor:
        """Log-probability of every item, [B, num_items + 1]; column 0 is -inf; popularity for an empty history."""
        mixed = self.added(history, weights_of(history, decay=self.config.decay))
        share = self.config.smoothing
        return ((1 - share) * mixed + share * self.popularity).log()
