"""Candidate sets: the items among which a target is ranked, drawn once per seed, stored and hashed."""

from dataclasses import dataclass

from llara.data.sequences import IntArray


@dataclass(frozen=True)
class CandidateSet:
    """The items each example is ranked against.

    Attributes:
        items: Item indices, target and negatives in shuffled order, no item twice in a row, shape [B, C].
        target_column: Column of the target in each row, shape [B].
    """

    items: IntArray
    target_column: IntArray

    def __len__(self) -> int:
        return len(self.target_column)
