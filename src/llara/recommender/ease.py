"""EASE: a linear model of items that has a closed form; strong on whole histories, blind to their order."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from llara.data.limits import PositiveInt, PositiveNumber, PositiveRatio, check_limits
from llara.data.sequences import Sequences
from llara.errors import ConfigError
from llara.recommender.pairs import PairRecommender, weights_of

MOST_ITEMS = 25_000
"""The matrix to invert has an entry per pair of items: 2.5 GB at this many, and as much again for its inverse."""


@dataclass(frozen=True, kw_only=True)
class EaseConfig:
    """How EASE is solved: for `ease` and `fusion`."""

    l2: PositiveNumber = 250.0
    """Weight of the L2 penalty, > 0; the method's only parameter. Sparse data wants more."""
    kept: PositiveInt = 1000
    """Entries of each item's row that are kept, largest first, >= 1; a catalog of no more is kept whole."""
    decay: PositiveRatio = 1.0
    """Weight of a history item against that of the one after it, in (0, 1]; 1, as published: all count alike."""

    def __post_init__(self) -> None:
        check_limits(self, "recommender.ease")


class Ease(PairRecommender):
    """Scores an item by the mean of its weights for the history's items, solved so that users predict themselves.

    With G = X'X + l2 I, where X says which training user chose which item, and P = G^-1, the weights are
    B = -P / diag(P) by columns, with a diagonal of zero.

    Args:
        num_items: Catalog size, without padding.
        config: Penalty, and how much of the solution is kept.
        pairs: Number of weights of a saved one; `count` sets it.

    Source:
        Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019). Deviations: a mean instead of a sum
        over the history, which ranks alike; only the largest weights of each item are kept.

    Raises:
        ConfigError: If the catalog has more than `MOST_ITEMS` items.
    """

    name = "ease"
    config_kind = EaseConfig
    config: EaseConfig

    def __init__(self, num_items: int, config: EaseConfig | None = None, *, pairs: int = 0) -> None:
        if num_items > MOST_ITEMS:
            raise ConfigError(
                f"ease inverts a matrix of items by items, which takes too much memory from {MOST_ITEMS:,} items on; "
                f"this catalog has {num_items:,}. Use counts instead."
            )
        super().__init__(num_items, config, pairs=pairs)

    def count(self, sequences: Sequences) -> None:
        """Solve anew for training sequences; an item chosen twice by a user counts once."""
        row = np.repeat(np.arange(len(sequences)), sequences.lengths)
        chosen = csr_array(
            (np.ones(len(row), dtype=np.float32), (row, sequences.items - 1)), shape=(len(sequences), self.num_items)
        )
        chosen.data[:] = 1.0
        gram = torch.from_numpy((chosen.T @ chosen).toarray())
        gram.diagonal().add_(self.config.l2)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        weights = -inverse / inverse.diagonal()
        weights.fill_diagonal_(0.0)
        self.take(self._largest(weights))

    def _largest(self, weights: Tensor) -> csr_array:
        """The largest weights of each row, behind a row and a column for padding."""
        kept = min(self.config.kept, self.num_items)
        places = weights.abs().topk(kept, dim=1).indices.sort(dim=1).values  # [num_items, kept]
        begin = np.concatenate([[0], np.arange(self.num_items + 1) * kept])
        entries = (weights.gather(1, places).flatten().numpy(), places.flatten().numpy() + 1, begin)
        return csr_array(entries, shape=(self.num_items + 1, self.num_items + 1))

    def score_all(self, history: Tensor) -> Tensor:
        """Mean weight of every item, [B, num_items + 1]; column 0 is -inf; zero for an empty history."""
        scores = self.added(history, weights_of(history, decay=self.config.decay))
        scores[:, 0] = float("-inf")
        return scores
