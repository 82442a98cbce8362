"""GRU4Rec: a gated recurrent network over the history."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import torch
from torch import Tensor, nn

from llara.data.limits import PositiveInt, RatioBelowOne, check_limits
from llara.recommender.base import SequentialRecommender


@dataclass(frozen=True, kw_only=True)
class GRU4RecConfig:
    """Shape of a GRU4Rec."""

    max_length: PositiveInt = 50
    """Latest items that it reads, >= 1. Training cuts longer sequences into windows of this length."""
    layers: PositiveInt = 1
    """Recurrent layers, >= 1."""
    hidden_width: PositiveInt = 128
    """Width of the recurrent state, >= 1; a linear layer maps it to `recommender.embedding_dim`."""
    dropout: RatioBelowOne = 0.2
    """Share of values dropped from embeddings and recurrent states in training, in [0, 1)."""

    def __post_init__(self) -> None:
        check_limits(self, "recommender.gru4rec")


class GRU4Rec(SequentialRecommender):
    """Session-based recommendation with a gated recurrent network.

    Args:
        num_items: Catalog size, without padding, >= 1.
        config: Shape; the defaults fit logs like MovieLens-100K.
        width: Width R of states and item vectors.
        seed: Seed of the initial weights.

    Source:
        Hidasi et al., Session-based Recommendations with Recurrent Neural Networks (arXiv:1511.06939). Deviations:
        item vectors instead of one-hot inputs, shared with the output; the softmax (or binary) loss of the other
        recommenders instead of session-parallel batches with in-batch negatives.
    """

    name = "gru4rec"

    def __init__(self, num_items: int, config: GRU4RecConfig | None = None, *, width: int = 64, seed: int = 0) -> None:
        config = config or GRU4RecConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(num_items, width, config.max_length)
            self.config = config
            self.dropout = nn.Dropout(config.dropout)
            self.recurrent = nn.GRU(width, config.hidden_width, config.layers, batch_first=True)
            self.output = nn.Linear(config.hidden_width, width)

    def encode_all(self, history: Tensor) -> Tensor:
        """States after every position, [B, L] -> [B, L, R], L <= max_length."""
        hidden, _ = self.recurrent(self.dropout(self.item_table(history)))  # [B, L, hidden_width]
        states: Tensor = self.output(self.dropout(hidden))
        return states

    def settings(self) -> dict[str, object]:
        """The config as plain values."""
        return asdict(self.config)

    @classmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """A GRU4Rec of this shape, weights yet to be loaded."""
        return cls(num_items, GRU4RecConfig(**settings), width=width)  # type: ignore[arg-type]
