"""Nearest neighbors of items by who chose them: the oldest collaborative filter that is still hard to beat."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

from llara.data.limits import NonNegativeNumber, PositiveInt, PositiveRatio, check_limits
from llara.data.sequences import Sequences
from llara.recommender.pairs import PairRecommender, weights_of


@dataclass(frozen=True, kw_only=True)
class ItemKNNConfig:
    """How neighbors are found: for `item-knn` and `fusion`."""

    neighbors: PositiveInt = 200
    """Neighbors of each item that are kept, nearest first, >= 1."""
    shrinkage: NonNegativeNumber = 10.0
    """How many common users make a similarity half as large as it looks, >= 0: few common users prove little."""
    decay: PositiveRatio = 0.8
    """Weight of a history item against that of the one after it, in (0, 1]; 1: all count alike."""

    def __post_init__(self) -> None:
        check_limits(self, "recommender.item_knn")


class ItemKNN(PairRecommender):
    """Scores an item by its mean similarity to the history's items, later ones weighing more.

    Similarity of two items: the cosine between the sets of training users who chose them, times n / (n + shrinkage) for
    n common users; zero for all but the nearest neighbors of a history item.

    Args:
        num_items: Catalog size, without padding.
        config: How neighbors are found.
        pairs: Number of similarities of a saved one; `count` sets it.

    Source:
        Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms" (WWW 2001). Deviations: sets
        instead of ratings, and a weight for recency.
    """

    name = "item-knn"
    config_kind = ItemKNNConfig
    config: ItemKNNConfig

    def __init__(self, num_items: int, config: ItemKNNConfig | None = None, *, pairs: int = 0) -> None:
        super().__init__(num_items, config, pairs=pairs)

    def count(self, sequences: Sequences) -> None:
        """Find neighbors anew in training sequences; an item chosen twice by a user counts once."""
        size = self.num_items + 1
        row = np.repeat(np.arange(len(sequences)), sequences.lengths)
        chosen = csr_array((np.ones(len(row)), (row, sequences.items)), shape=(len(sequences), size))
        chosen.data[:] = 1.0
        common = csr_array(chosen.T @ chosen).tocoo()
        users = np.asarray(chosen.sum(axis=0)).ravel()
        apart = common.row != common.col
        item, other, both = common.row[apart], common.col[apart], common.data[apart]
        similarity = both / np.sqrt(users[item] * users[other]) * both / (both + self.config.shrinkage)
        kept = _nearest(item, similarity, self.config.neighbors)
        self.take(csr_array((similarity[kept], (item[kept], other[kept])), shape=(size, size)))

    def score_all(self, history: Tensor) -> Tensor:
        """Mean similarity of every item, [B, num_items + 1]; column 0 is -inf; zero for an empty history."""
        scores = self.added(history, weights_of(history, decay=self.config.decay))
        scores[:, 0] = float("-inf")
        return scores


def _nearest(item: np.ndarray, similarity: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` greatest similarities of each item."""
    order = np.lexsort((-similarity, item))
    begins = np.searchsorted(item[order], item[order], side="left")
    return order[np.arange(len(order)) - begins < count]
