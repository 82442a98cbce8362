"""Imported embeddings: item vectors of any other library's model."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from llara.errors import DataError
from llara.recommender.base import Recommender


class ImportedEmbeddings(Recommender):
    """Item vectors made elsewhere; they are never trained.

    An item's score is the cosine between its vector and the mean vector of the history, which suits vectors of any
    model but is no substitute for that model's own ranking. What LLaRA projects are the vectors as they came.

    Args:
        vectors: Finite numbers, row 0 padding, [num_items + 1, R]; row 0 is ignored.

    Raises:
        DataError: If the vectors have another shape or are not finite.
    """

    name = "imported"
    vectors: Tensor

    def __init__(self, vectors: Tensor) -> None:
        if vectors.ndim != 2 or vectors.shape[0] < 2 or vectors.shape[1] < 1:
            raise DataError(f"item vectors must have shape [num_items + 1, R], found {list(vectors.shape)}.")
        bad = (~torch.isfinite(vectors[1:]).all(dim=1)).nonzero()
        if len(bad):
            raise DataError(
                f"the vector of item index {int(bad[0]) + 1} holds NaN or infinity ({len(bad)} such items). "
                "Every item needs finite numbers: use zeros for an item that the other model does not know."
            )
        super().__init__(num_items=len(vectors) - 1, width=vectors.shape[1])
        table = vectors.detach().float().clone()
        table[0] = 0.0
        self.register_buffer("vectors", table)

    def item_embeddings(self) -> Tensor:
        """The vectors as they came, row 0 zero, [num_items + 1, R]."""
        return self.vectors.clone()

    def scoring_table(self) -> Tensor:
        """The vectors at length 1; vectors of zeros stay zero, [num_items + 1, R]."""
        return functional.normalize(self.vectors, dim=1)

    def encode(self, history: Tensor) -> Tensor:
        """Mean vector of the history's items at length 1, zero for an empty history, [B, R]."""
        return functional.normalize(self.vectors[history].sum(dim=1), dim=1)

    def settings(self) -> dict[str, object]:
        """Nothing beside the vectors."""
        return {}

    @classmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """Imported embeddings whose vectors are yet to be loaded."""
        if settings:
            raise TypeError(f"imported embeddings have no settings, found {dict(settings)}")
        return cls(torch.zeros(num_items + 1, width))
