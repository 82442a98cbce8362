"""What a pass through the network yields, and the items that the sequence head scores."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ScoredItems:
    """Some items that the sequence head scores in place of the whole catalog.

    Attributes:
        indices: Item indices without repetition, [S].
        num_drawn: How many of them, from the first on, were drawn uniformly from the catalog; the rest are there
            because they are targets.
        num_items: Size of the catalog.
    """

    indices: Tensor
    num_drawn: int
    num_items: int

    def to(self, device: torch.device) -> "ScoredItems":
        """The same items on a device."""
        return ScoredItems(self.indices.to(device), self.num_drawn, self.num_items)


@dataclass(frozen=True)
class LlaraOutput:
    """What one forward pass yields.

    Attributes:
        answer_log_probs: Log-probability of each answer token of the batch, in nats, [P]; None if not asked.
        listwise: Score of each candidate, -inf where a row has fewer, [B, C]; None if not asked.
        sequence: Score of each item after some history items: those that `next_items` follows, row after row, or the
            last of each row where the batch has no `next_items`, [M, S]; None if not asked.
        items: What the columns of `sequence` are; None: all items by index, with padding.
    """

    answer_log_probs: Tensor | None
    listwise: Tensor | None
    sequence: Tensor | None = None
    items: ScoredItems | None = None
