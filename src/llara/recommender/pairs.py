"""Recommenders that score an item by a sparse table: what each item of the history says for each other item."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from llara.errors import ConfigError
from llara.recommender.base import Recommender, prefixes, recency

_ENTRIES_AT_ONCE = 2**24
"""Scores of the catalog that are held at a time while candidates are scored."""


class PairRecommender(Recommender):
    """Adds up the rows of a table [num_items + 1, num_items + 1] that belong to the history's items.

    It has no item vectors: where LLaRA needs some, use it as a member of a fusion.

    Args:
        num_items: Catalog size, without padding.
        config: Settings, of the class `config_kind`; None: its defaults.
        pairs: Number of entries of a saved table; `take` sets it.
    """

    has_vectors = False
    config_kind: ClassVar[type]
    config: object
    begin: Tensor
    follower: Tensor
    share: Tensor

    def __init__(self, num_items: int, config: object | None = None, *, pairs: int = 0) -> None:
        super().__init__(num_items, 1)
        self.config = self.config_kind() if config is None else config
        self.register_buffer("begin", torch.zeros(num_items + 2, dtype=torch.long))
        self.register_buffer("follower", torch.zeros(pairs, dtype=torch.int32))
        self.register_buffer("share", torch.zeros(pairs))

    @property
    def learns(self) -> bool:
        """Always."""
        return True

    @property
    def device(self) -> torch.device:
        """Where the table is."""
        return self.begin.device

    def take(self, table: csr_array) -> None:
        """Score by this table from now on; row and column 0 are padding."""
        self.begin = torch.from_numpy(table.indptr.astype(np.int64))
        self.follower = torch.from_numpy(table.indices.astype(np.int32))
        self.share = torch.from_numpy(table.data.astype(np.float32))

    def added(self, history: Tensor, weight: Tensor) -> Tensor:
        """The table's rows of each history's items, weighed and added up, [B, L] twice -> [B, num_items + 1]."""
        B, L = history.shape
        items = history.flatten()
        start, found = self.begin[items], self.begin[items + 1] - self.begin[items]
        source = torch.repeat_interleave(torch.arange(B * L, device=history.device), found)
        place = torch.arange(len(source), device=history.device) - (found.cumsum(0) - found)[source] + start[source]
        scores = torch.zeros(B * (self.num_items + 1), device=history.device)
        target = source // max(L, 1) * (self.num_items + 1) + self.follower[place].long()
        scores.index_add_(0, target, self.share[place] * weight.flatten()[source])
        return scores.view(B, self.num_items + 1)

    @abstractmethod
    def score_all(self, history: Tensor) -> Tensor:
        """Score of every item, [B, num_items + 1]; column 0 is -inf."""

    def score(self, history: Tensor, candidates: Tensor) -> Tensor:
        """The same numbers for candidates only, [B, C]; -inf at padding.

        Rows with the same history, one for each draw of candidates, are scored once.
        """
        scores = torch.zeros(candidates.shape, device=candidates.device)
        distinct, row_of = torch.unique(history, dim=0, return_inverse=True) if len(history) else (history, history)
        step = max(1, _ENTRIES_AT_ONCE // (self.num_items + 1))
        for at in range(0, len(distinct), step):
            of_catalog = self.score_all(distinct[at : at + step])
            rows = ((row_of >= at) & (row_of < at + step)).nonzero().flatten()
            scores[rows] = of_catalog[row_of[rows] - at].gather(1, candidates[rows])
        return scores

    def score_each(self, history: Tensor, items: Tensor | None = None) -> Tensor:
        """See `Recommender.score_each`."""
        scores = self.score_all(prefixes(history))
        return scores if items is None else scores[:, items]

    def scoring_table(self) -> Tensor:
        """Raises ConfigError: a table of pairs has no vectors."""
        raise ConfigError(
            f"{self.name} has no item vectors to put into prompts. Use recommender.name: fusion, with a recommender "
            "that has some as its first member."
        )

    def encode(self, history: Tensor) -> Tensor:
        """Raises ConfigError: a table of pairs has no states."""
        return self.scoring_table()

    def settings(self) -> dict[str, object]:
        """Those of the config, and how many entries there are."""
        return {**vars(self.config), "pairs": len(self.share)}

    @classmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """One whose table is yet to be loaded."""
        own = dict(settings)
        pairs = own.pop("pairs", None)
        if not isinstance(pairs, int) or pairs < 0 or width != 1:
            raise TypeError(f"{cls.name} has pairs >= 0 and width 1, found pairs {pairs!r} and width {width}")
        return cls(num_items, cls.config_kind(**own), pairs=pairs)


def weights_of(history: Tensor, *, decay: float) -> Tensor:
    """Share of each history item in the sum: `decay` per later item, adding up to 1; zero at padding, [B, L]."""
    weight = recency(history, decay=decay)
    return weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-9)
