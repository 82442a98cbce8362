"""SASRec: causal self-attention over the history."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from llara.data.limits import PositiveInt, RatioBelowOne, check_limits
from llara.errors import ConfigError
from llara.recommender.base import SequentialRecommender


@dataclass(frozen=True, kw_only=True)
class SASRecConfig:
    """Shape of a SASRec."""

    max_length: PositiveInt = 50
    """Latest items that it reads, >= 1. Training cuts longer sequences into windows of this length."""
    layers: PositiveInt = 2
    """Attention blocks, >= 1."""
    heads: PositiveInt = 1
    """Attention heads, >= 1; must divide `recommender.embedding_dim`."""
    dropout: RatioBelowOne = 0.2
    """Share of values dropped from embeddings and block outputs in training, in [0, 1)."""

    def __post_init__(self) -> None:
        check_limits(self, "recommender.sasrec")


def require_heads_divide(config: SASRecConfig, width: int) -> None:
    """Raise ConfigError unless each head gets the same share of the width R."""
    if width % config.heads:
        raise ConfigError(
            f"recommender.sasrec.heads must divide recommender.embedding_dim = {width}, got {config.heads}"
        )


class SASRec(SequentialRecommender):
    """Self-attentive sequential recommendation.

    Args:
        num_items: Catalog size, without padding, >= 1.
        config: Shape; the defaults fit logs like MovieLens-100K.
        width: Width R of states and item vectors.
        seed: Seed of the initial weights.

    Raises:
        ConfigError: If the heads do not divide the width.

    Source:
        Kang and McAuley, Self-Attentive Sequential Recommendation (arXiv:1808.09781). Deviations: layer norm before
        each part and at the end, GELU and a fourfold hidden width in the feed-forward part, and rows padded on the
        right, which a causal model never sees.
    """

    name = "sasrec"

    def __init__(self, num_items: int, config: SASRecConfig | None = None, *, width: int = 64, seed: int = 0) -> None:
        config = config or SASRecConfig()
        require_heads_divide(config, width)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(num_items, width, config.max_length)
            self.config = config
            self.positions = nn.Parameter(torch.randn(config.max_length, width) * width**-0.5)
            self.dropout = nn.Dropout(config.dropout)
            self.blocks = nn.ModuleList(_Block(width, config.heads, config.dropout) for _ in range(config.layers))
            self.norm = nn.LayerNorm(width)

    def encode_all(self, history: Tensor) -> Tensor:
        """States after every position, [B, L] -> [B, L, R], L <= max_length."""
        states = self.dropout(self.embed(history) + self.positions[: history.shape[1]])
        for block in self.blocks:
            states = block(states)
        normed: Tensor = self.norm(states)
        return normed

    def embed(self, history: Tensor) -> Tensor:
        """Vectors of the history's items, [B, L, R]."""
        vectors: Tensor = self.item_table(history)
        return vectors

    def settings(self) -> dict[str, object]:
        """The config as plain values."""
        return asdict(self.config)

    @classmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """A SASRec of this shape, weights yet to be loaded."""
        return cls(num_items, SASRecConfig(**settings), width=width)  # type: ignore[arg-type]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.dropout(self._attend(self.attention_norm(states)))
        processed: Tensor = states + self.dropout(self.feed_forward(states))
        return processed

    def _attend(self, states: Tensor) -> Tensor:
        B, L, R = states.shape
        parts = self.query_key_value(states).view(B, L, 3, self.heads, R // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each [B, heads, L, R / heads]
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        attended: Tensor = self.attention_output(mixed.transpose(1, 2).reshape(B, L, R))
        return attended
