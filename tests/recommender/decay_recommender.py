"""A recommender of somebody else's, whole in one file: the history is a mean of its items, the latest weighing most."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

import torch
from torch import Tensor, nn

from llara.recommender import SequentialRecommender, register_recommender


@dataclass(frozen=True, kw_only=True)
class DecayConfig:
    """How a history fades."""

    max_length: int = 20
    decay: float = 0.5
    """Weight of an item relative to that of the next one, in (0, 1]."""


class Decay(SequentialRecommender):
    """Exponential moving average of linear maps of the items."""

    name = "decay"

    def __init__(self, num_items: int, config: DecayConfig, *, width: int, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(num_items, width, config.max_length)
            self.config = config
            self.map = nn.Linear(width, width)

    def encode_all(self, history: Tensor) -> Tensor:
        """The average after each position, [B, L] -> [B, L, R]."""
        place = torch.arange(history.shape[1], device=history.device)
        age = (place[:, None] - place).clamp_min(0)  # [L, L]
        weights = (self.config.decay**age).tril()
        mixed: Tensor = (weights / weights.sum(dim=1, keepdim=True)) @ self.map(self.item_table(history))
        return mixed

    def settings(self) -> dict[str, object]:
        """The config as plain values."""
        return asdict(self.config)

    @classmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """One of this shape, weights yet to be loaded."""
        return cls(num_items, DecayConfig(**settings), width=width)  # type: ignore[arg-type]


register_recommender(Decay, DecayConfig)
