"""Which rows make up which step: a pure function of (seed, step), the same in a resumed run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from llara.data import IntArray

_STREAM = 0xBA7C4
_POOL_BATCHES = 50


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """Order of the training rows in batches of similar length, so that little is spent on padding.

    Attributes:
        num_rows: Rows of an epoch, N.
        batch_size: Rows per optimizer step; one batch of an epoch may be smaller.
        seed: Seed of the order.
        lengths: Prompt length of each of some rows in an epoch, (rows [n], epoch) -> [n]; asked for once per pool.
    """

    num_rows: int
    batch_size: int
    seed: int
    lengths: Callable[[IntArray, int], IntArray]

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in which every row is seen once."""
        return -(-self.num_rows // self.batch_size)

    def rows(self, step: int) -> IntArray:
        """Row numbers of an optimizer step (0-based), longest prompts first."""
        epoch, place = divmod(step, self.steps_per_epoch)
        pool, place = divmod(place, _POOL_BATCHES)
        return _pool_batches(self, epoch, pool)[place]


@lru_cache(maxsize=2)
def _epoch_order(plan: BatchPlan, epoch: int) -> IntArray:
    return np.random.default_rng([_STREAM, plan.seed, epoch]).permutation(plan.num_rows)


@lru_cache(maxsize=2)
def _pool_batches(plan: BatchPlan, epoch: int, pool: int) -> list[IntArray]:
    """Sort the rows of 50 batches by length, cut them into batches, shuffle the batches.

    The pool keeps batches random enough while rows within one have similar lengths.
    """
    size = plan.batch_size * _POOL_BATCHES
    rows = _epoch_order(plan, epoch)[pool * size : (pool + 1) * size]
    rows = rows[np.argsort(-plan.lengths(rows, epoch), kind="stable")]
    batches = np.split(rows, range(plan.batch_size, len(rows), plan.batch_size))
    order = np.random.default_rng([_STREAM, plan.seed, epoch, pool]).permutation(len(batches))
    return [batches[place] for place in order]
