"""Caser: convolutions over the latest items."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from llara.data.limits import PositiveInt, RatioBelowOne, check_limits
from llara.recommender.base import SequentialRecommender


@dataclass(frozen=True, kw_only=True)
class CaserConfig:
    """Shape of a Caser."""

    max_length: PositiveInt = 50
    """Length of the windows that training cuts sequences into, >= 1. A state sees no more than `window` items."""
    window: PositiveInt = 10
    """Latest items that a state is made of, >= 1."""
    horizontal_filters: PositiveInt = 16
    """Filters of each height 1..window, over all dimensions of consecutive items, >= 1."""
    vertical_filters: PositiveInt = 4
    """Weighted sums over the window, the same for each dimension, >= 1."""
    dropout: RatioBelowOne = 0.2
    """Share of values dropped from embeddings and convolution outputs in training, in [0, 1)."""

    def __post_init__(self) -> None:
        check_limits(self, "recommender.caser")


class Caser(SequentialRecommender):
    """Convolutional sequence embedding recommendation.

    Args:
        num_items: Catalog size, without padding, >= 1.
        config: Shape; the defaults fit the ten-item histories of LLaRA.
        width: Width R of states and item vectors.
        seed: Seed of the initial weights.

    Source:
        Tang and Wang, Personalized Top-N Sequential Recommendation via Convolutional Sequence Embedding
        (arXiv:1809.07426). Deviations: no user vector, since test users are new; item vectors shared with the output;
        and the windows of all positions share their convolutions: the responses to a sequence are computed once,
        and the maximum over a window's positions is a sliding one.
    """

    name = "caser"

    def __init__(self, num_items: int, config: CaserConfig | None = None, *, width: int = 64, seed: int = 0) -> None:
        config = config or CaserConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(num_items, width, config.max_length)
            self.config = config
            self.dropout = nn.Dropout(config.dropout)
            heights = range(1, config.window + 1)
            self.horizontal = nn.ModuleList(nn.Conv1d(width, config.horizontal_filters, height) for height in heights)
            self.vertical = nn.Conv1d(1, config.vertical_filters, config.window)
            features = config.window * config.horizontal_filters + config.vertical_filters * width
            self.output = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width))

    def encode_all(self, history: Tensor) -> Tensor:
        """States after every position, [B, L] -> [B, L, R]."""
        embedded = self.dropout(self.item_table(history)).transpose(1, 2)  # [B, R, L]
        padded = functional.pad(embedded, (self.config.window - 1, 0))  # before the first item: zeros, [B, R, P]
        features = torch.cat([*(self._slide(padded, filters) for filters in self.horizontal), self._sum(padded)], dim=1)
        states: Tensor = self.output(self.dropout(features.transpose(1, 2)))
        return states

    def _slide(self, padded: Tensor, filters: nn.Module) -> Tensor:
        """Largest response of each filter within the window that ends at each position, [B, filters, L]."""
        responses = functional.relu(filters(padded))  # [B, filters, P - height + 1]
        positions = self.config.window - (padded.shape[2] - responses.shape[2])
        return functional.max_pool1d(responses, positions, stride=1)

    def _sum(self, padded: Tensor) -> Tensor:
        """Weighted sums over the window that ends at each position, [B, vertical_filters * R, L]."""
        B, R, P = padded.shape
        sums = self.vertical(padded.reshape(B * R, 1, P))  # [B * R, vertical_filters, L]
        return sums.reshape(B, R * sums.shape[1], -1)  # type: ignore[no-any-return]

    def settings(self) -> dict[str, object]:
        """The config as plain values."""
        return asdict(self.config)

    @classmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """A Caser of this shape, weights yet to be loaded."""
        return cls(num_items, CaserConfig(**settings), width=width)  # type: ignore[arg-type]
