"""Which rows make up which step: a pure function of (seed, step), the same in a resumed run."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from llara.data import IntArray

_STREAM = 0xBA7C4
_POOL_BATCHES = 50


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """Order of the training rows in batches of similar length.

    Attributes:
        lengths: Approximate prompt length of each row, [N].
        batch_size: Rows per optimizer step; one batch of an epoch may be smaller.
        seed: Seed of the order.
    """

    lengths: IntArray
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in which every row is seen once."""
        return -(-len(self.lengths) // self.batch_size)

    def rows(self, step: int) -> IntArray:
        """Row numbers of an optimizer step (0-based), longest prompts first."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return _epoch_batches(self, epoch)[place]


@lru_cache(maxsize=2)
def _epoch_batches(plan: BatchPlan, epoch: int) -> list[IntArray]:
    """Shuffle rows, sort pools of 50 batches by length, cut into batches, shuffle the batches.

    The pool keeps batches random enough while rows within one have similar lengths.
    """
    rng = np.random.default_rng([_STREAM, plan.seed, epoch])
    order = rng.permutation(len(plan.lengths))
    pool = plan.batch_size * _POOL_BATCHES
    batches: list[IntArray] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(-plan.lengths[rows], kind="stable")]
        batches.extend(np.split(rows, range(plan.batch_size, len(rows), plan.batch_size)))
    return [batches[place] for place in rng.permutation(len(batches))]
