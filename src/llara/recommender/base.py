"""What every recommender can do: embed items, encode a history, score the catalog or given candidates."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from llara.data.examples import Examples
from llara.data.sequences import Sequences


class Recommender(nn.Module, ABC):
    """A conventional model that scores items by the dot product of a history's state with item vectors.

    Attributes:
        name: How configs, files and tables call it.
        has_vectors: Whether it has item vectors, which prompts need.
        num_items: Catalog size, without padding.
        width: Width R of states and item vectors.
    """

    name: str
    has_vectors: ClassVar[bool] = True
    num_items: int
    width: int

    def __init__(self, num_items: int, width: int) -> None:
        super().__init__()
        self.num_items = num_items
        self.width = width

    @property
    def parts(self) -> "list[Recommender]":
        """What it is made of, where it adds up others; each is fitted by itself before `count` and `weigh`."""
        return []

    @property
    def learns(self) -> bool:
        """Whether it knows anything of the users that it was made from, and so is too sure of them."""
        return any(part.learns for part in self.parts)

    def fitted_parts(self) -> "list[SequentialRecommender]":
        """What of it is fitted by gradient: itself, parts of it, or nothing."""
        return [fitted for part in self.parts for fitted in part.fitted_parts()]

    def count(self, sequences: Sequences) -> None:
        """Take from training sequences what is only counted; nothing, unless a kind of recommender counts."""

    def weigh(self, validation: Examples, *, seed: int) -> None:
        """Fit by held-out rows how much each of `parts` counts; nothing where there are none."""

    @property
    def device(self) -> torch.device:
        """Where the item vectors are, and histories and candidates must be."""
        return self.scoring_table().device

    @abstractmethod
    def scoring_table(self) -> Tensor:
        """Item vectors that states are compared with, row 0 padding, [num_items + 1, R]."""

    def item_vectors(self, items: Tensor) -> Tensor:
        """Rows of `scoring_table` of some items, of any shape: [...] -> [..., R]."""
        return self.scoring_table()[items]

    @abstractmethod
    def encode(self, history: Tensor) -> Tensor:
        """State after the last item of each history.

        Args:
            history: Item indices, oldest first, padded with 0 on the right, [B, L].

        Returns:
            States [B, R]. An empty history has a state under which all items are equal, unless documented otherwise.
        """

    @abstractmethod
    def settings(self) -> dict[str, object]:
        """What `restore` needs beside the sizes: plain values that JSON can hold."""

    @classmethod
    @abstractmethod
    def restore(cls, settings: Mapping[str, object], *, num_items: int, width: int) -> Self:
        """A recommender of the given shape whose weights are yet to be loaded.

        Raises:
            TypeError, ConfigError: If the settings are not those of this recommender.
        """

    def item_embeddings(self) -> Tensor:
        """The static item table that LLaRA projects: detached, row 0 (padding) zero, [num_items + 1, R]."""
        table = self.scoring_table().detach().clone()
        table[0] = 0.0
        return table

    def score_all(self, history: Tensor) -> Tensor:
        """Score every item, higher is better.

        Args:
            history: Item indices, oldest first, padded with 0 on the right, [B, L].

        Returns:
            Scores [B, num_items + 1]; column 0, padding, is -inf.
        """
        scores = self.encode(history) @ self.scoring_table().T  # [B, num_items + 1]
        scores[:, 0] = float("-inf")
        return scores

    def score(self, history: Tensor, candidates: Tensor) -> Tensor:
        """Score candidates only: the same numbers as in `score_all`.

        Args:
            history: Item indices, oldest first, padded with 0 on the right, [B, L].
            candidates: Item indices, 0 where a row has fewer, [B, C].

        Returns:
            Scores [B, C]; -inf at padding.
        """
        vectors = self.item_vectors(candidates)  # [B, C, R]
        scores = (vectors @ self.encode(history).unsqueeze(-1)).squeeze(-1)  # [B, C]
        return scores.masked_fill(candidates == 0, float("-inf"))

    def encode_each(self, history: Tensor) -> Tensor:
        """States after each item of each history, as `encode` gives them for what precedes, [B, L] -> [B, L, R].

        Those at padding mean nothing.
        """
        found = self.encode(prefixes(history))  # [M, R]
        states = found.new_zeros(*history.shape, self.width)
        states[history != 0] = found
        return states

    def score_each(self, history: Tensor, items: Tensor | None = None) -> Tensor:
        """Scores after each item of each history: at real positions, row after row, [M, S].

        Args:
            history: Item indices, oldest first, padded with 0 on the right, [B, L].
            items: Indices of the items to score, [S]; None: all, padding with -inf, [M, num_items + 1].
        """
        states, table = self.encode_each(history)[history != 0], self.scoring_table()
        if items is not None:
            return states @ table[items].T
        scores = states @ table.T
        scores[:, 0] = float("-inf")
        return scores


class SequentialRecommender(Recommender):
    """A recommender whose states at all positions come from one causal pass, which is how it is trained.

    Attributes:
        max_length: Number of latest items it reads; older ones are ignored.
        item_table: Item vectors, of inputs and outputs alike.
    """

    max_length: int

    def __init__(self, num_items: int, width: int, max_length: int) -> None:
        super().__init__(num_items, width)
        self.max_length = max_length
        self.item_table = nn.Embedding(num_items + 1, width, padding_idx=0)
        nn.init.normal_(self.item_table.weight, std=width**-0.5)
        with torch.no_grad():
            self.item_table.weight[0] = 0.0

    @property
    def learns(self) -> bool:
        """Always."""
        return True

    def fitted_parts(self) -> "list[SequentialRecommender]":
        """Itself."""
        return [self]

    @abstractmethod
    def encode_all(self, history: Tensor) -> Tensor:
        """States after every position, each a function of the items up to it.

        Args:
            history: Item indices, oldest first, padded with 0 on the right, [B, L] with L <= max_length.

        Returns:
            States [B, L, R]; those at padding mean nothing.
        """

    def scoring_table(self) -> Tensor:
        """The item table itself (tied weights), [num_items + 1, R]."""
        return self.item_table.weight

    def encode(self, history: Tensor) -> Tensor:
        """State after the last item, [B, R]; zero, which scores all items 0, for an empty history."""
        history = latest_items(history, self.max_length)
        length = (history != 0).sum(dim=1)  # [B]
        if history.shape[1] == 0:
            return history.new_zeros((len(history), self.width), dtype=self.item_table.weight.dtype)
        states = self.encode_all(history)  # [B, L, R]
        last = states[torch.arange(len(history), device=history.device), (length - 1).clamp_min(0)]  # [B, R]
        return last.masked_fill((length == 0).unsqueeze(-1), 0.0)

    def encode_each(self, history: Tensor) -> Tensor:
        """States after each item from one pass where the histories are no longer than what is read, [B, L, R]."""
        return self.encode_all(history) if history.shape[1] <= self.max_length else super().encode_each(history)


def prefixes(history: Tensor) -> Tensor:
    """What each history shows up to each of its items, row after row: right-padded rows [B, L] -> [M, L]."""
    L = history.shape[1]
    inside = torch.ones(L, L, dtype=torch.bool, device=history.device).tril()  # [after, item]
    return torch.where(inside, history[:, None, :], 0)[history != 0]


def recency(history: Tensor, *, decay: float) -> Tensor:
    """Weight of each history item: `decay` to the power of how many items came after it, 0 at padding, [B, L]."""
    length = (history != 0).sum(dim=1, keepdim=True)
    age = (length - 1 - torch.arange(history.shape[1], device=history.device)).clamp_min(0)
    return torch.where(history != 0, decay ** age.float(), 0.0)


def latest_items(history: Tensor, max_length: int) -> Tensor:
    """The last `max_length` items of each right-padded row, still right-padded, [B, min(L, max_length)]."""
    if history.shape[1] <= max_length:
        return history
    length = (history != 0).sum(dim=1, keepdim=True)  # [B, 1]
    start = (length - max_length).clamp_min(0)
    return history.gather(1, start + torch.arange(max_length, device=history.device))
